-- Purpose: Margins of a run with the data sets of their prompts.
SELECT p.dataset, m.prompt_id, m.variant_id, m.margin
FROM margins AS m
JOIN run_prompts AS r USING (run_id, prompt_id)
JOIN prompts AS p USING (prompt_id)
WHERE m.run_id = $run_id
ORDER BY r.ordinal, m.variant_id
