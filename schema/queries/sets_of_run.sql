-- Purpose: The sets that a run patched, with the number of each one's random controls.
SELECT v.variant_id, v.name, v.neurons, v.n_neurons, v.fraction, (
    SELECT count(*) FROM variants AS c WHERE c.run_id = v.run_id AND c.control_of = v.variant_id
) AS n_controls
FROM variants AS v
WHERE v.run_id = $run_id AND v.role = 'patched' AND v.control_of IS NULL
ORDER BY v.variant_id
