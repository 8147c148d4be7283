-- Purpose: Variants of a run that have written: sets that charts show first, then others, controls last.
SELECT v.variant_id, v.name, v.role, v.control_of IS NOT NULL AS control, coalesce(s.headline, false) AS main
FROM variants AS v
LEFT JOIN figure_sets AS s USING (run_id, variant_id)
WHERE v.run_id = $run_id AND EXISTS (
    FROM completions AS c WHERE c.run_id = v.run_id AND c.variant_id = v.variant_id
)
ORDER BY control, main DESC, v.variant_id
