-- Purpose: what the patch did to each token that was written: beside it, what the unpatched models would have written.
-- Grain:   one row per patched completion and step; step 1 writes the first token of the completion.
-- Units:   token_id was written; unpatched_id is the choice of the same model without the patch, donor_id that of the model
--          that gave activations, both on the same text (under the same random numbers, where tokens are drawn).
-- Caveats: changed is whether the patch changed the token at this step, agrees whether it is the donor's; NULL where the
--          other model was not asked (a mode without a donor, --no-trace). Read again at once, a text rounds differently
--          than written token by token: near ties can differ. With --freeze the giver is the recipient.
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
