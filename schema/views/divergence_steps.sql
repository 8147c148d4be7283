-- Purpose: at each token that the donor wrote, how far recipient and patched sets are from it.
-- Grain:   one row per divergence run, variant, prompt, sample and step; step 1 writes the first token.
-- Key:     run_id, variant_id, prompt_id, sample, step
-- Columns:
--   run -> runs.name: the divergence run
--   variant: name of the variant: recipient, or a patched set
--   dataset: name of the prompt's set
--   prompt_id -> prompts.prompt_id: what was asked
--   sample: number of the donor's completion of this prompt, from 0
--   step: number of the token in the completion, from 1
--   kl [nats]: divergence KL(donor || variant) of the distributions of this token
--   agrees: whether both find the same token most likely
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: the variant
-- Units:   kl is in nats, in double precision from the models' logits.
-- Caveats: as in divergences. Includes completions of runs that have not finished.
CREATE OR REPLACE VIEW divergence_steps AS
SELECT
    runs.name AS run,
    v.name AS variant,
    p.dataset,
    d.prompt_id,
    d.sample,
    unnest(range(1, d.n_tokens + 1))::INTEGER AS step,
    unnest(d.kls) AS kl,
    unnest(d.agrees) AS agrees,
    d.run_id,
    d.variant_id
FROM divergences AS d
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
JOIN prompts AS p USING (prompt_id);
