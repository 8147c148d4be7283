-- Purpose: The unpatched models of a run that have written completions.
SELECT variant_id, role, model_id FROM variants JOIN run_models USING (run_id, role)
WHERE run_id = $run_id AND list_contains($roles, role) AND EXISTS (
    FROM completions AS c WHERE c.run_id = variants.run_id AND c.variant_id = variants.variant_id
)
