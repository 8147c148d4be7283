-- Purpose: what each model or patched variant of a run wrote.
-- Grain:   one row per run, variant, prompt and sample (0 in runs without sampling).
-- Units:   token_ids as produced by the model, end-of-sequence token included; text leaves special tokens out.
--          donor_ids and unpatched_ids: see patch_steps.
-- Caveats: includes completions of runs that have not finished (status tells); role is one of before, after,
--          recipient, donor, patched.
CREATE OR REPLACE VIEW run_completions AS
SELECT
    runs.name AS run,
    v.name AS variant,
    v.role,
    c.prompt_id,
    c.text,
    c.token_ids,
    c.finish_reason,
    p.dataset,
    p.text AS prompt,
    runs.kind,
    runs.status,
    c.run_id,
    c.variant_id,
    c.sample,
    c.donor_ids,
    c.unpatched_ids
FROM completions AS c
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
JOIN prompts AS p USING (prompt_id);
