-- Purpose: what the patch did to each token that was written: beside it, what the unpatched models would have written.
-- Grain:   one row per patched completion and step; step 1 writes the first token of the completion.
-- Key:     run_id, variant_id, prompt_id, sample, step
-- Columns:
--   run -> runs.name: the patch run
--   variant: name of the patched variant
--   dataset: name of the prompt's set
--   prompt_id -> prompts.prompt_id: what was asked
--   sample: number of the completion of this prompt, from 0
--   step: number of the token in the completion, from 1
--   token_id: token that was written
--   unpatched_id [token id]: what the same model would have written without the patch; NULL if not asked
--   donor_id [token id]: what the model that gave activations would have written; NULL if not asked
--   changed: whether token_id is not unpatched_id; NULL if not asked
--   agrees: whether token_id is donor_id; NULL if not asked
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: the patched variant
-- Units:   token_id was written; unpatched_id is the choice of the same model without the patch, donor_id that of the
--          model that gave activations, both on the same text (under the same random numbers, where tokens are drawn).
-- Caveats: changed is whether the patch changed the token at this step, agrees whether it is the donor's; NULL where
--          the other model was not asked (a mode without a donor, --no-trace). Read again at once, a text rounds
--          differently than written token by token: near ties can differ. With --freeze the giver is the recipient.
CREATE OR REPLACE VIEW patch_steps AS
SELECT
    run,
    variant,
    dataset,
    prompt_id,
    sample,
    unnest(range(1, len(token_ids) + 1))::INTEGER AS step,
    unnest(token_ids) AS token_id,
    unnest(coalesce(unpatched_ids, list_transform(token_ids, lambda t: NULL::INTEGER))) AS unpatched_id,
    unnest(coalesce(donor_ids, list_transform(token_ids, lambda t: NULL::INTEGER))) AS donor_id,
    token_id <> unpatched_id AS changed,
    token_id = donor_id AS agrees,
    run_id,
    variant_id
FROM run_completions
WHERE role = 'patched';
