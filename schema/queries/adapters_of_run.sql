-- Purpose: The adapters of all models of a locate run.
SELECT DISTINCT unnest(m.adapter_ids) AS adapter_id
FROM runs
JOIN run_models USING (run_id)
JOIN models AS m USING (model_id)
WHERE runs.kind = 'locate' AND runs.name = $run
