-- Purpose: what each model or patched variant of a run wrote.
-- Grain:   one row per run, variant, prompt and sample (0 in runs without sampling).
-- Key:     run_id, variant_id, prompt_id, sample
-- Columns:
--   run -> runs.name: the run
--   variant: name of the variant
--   role: before, after, writer (a third model), given (a file), recipient, donor or patched
--   prompt_id -> prompts.prompt_id: what was asked
--   text: the completion without special tokens
--   token_ids [token ids]: the tokens as produced, end-of-sequence token included
--   finish_reason: stop (end of sequence) or length (as many tokens as allowed)
--   dataset: name of the prompt's set
--   prompt: the prompt without a template
--   kind: kind of the run: locate or patch
--   status: status of the run
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: who wrote
--   sample: number of the completion of this prompt, from 0
--   donor_ids [token ids]: what the model that gave activations would have written at each step; NULL if not asked
--   unpatched_ids [token ids]: what the patched model would have written without its patch; NULL if not asked
-- Units:   token_ids as produced by the model, end-of-sequence token included; text leaves special tokens out.
--          donor_ids and unpatched_ids: see patch_steps.
-- Caveats: includes completions of runs that have not finished (status tells); role is one of before, after,
--          writer, given, recipient, donor, patched. What a file gives has the file's own text and the tokens that
--          the models read.
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
