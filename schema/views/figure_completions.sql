-- Purpose: what recipient, donor and the patched models of a run's main neuron sets wrote, side by side.
-- Grain:   one row per finished patch run, prompt and variant (recipient, donor, and each headline set); the first
--          sample.
-- Key:     run_id, prompt_id, variant_id
-- Columns:
--   run -> runs.name: the patch run
--   ordinal: place of the prompt in the run, from 0
--   prompt_id -> prompts.prompt_id: what was asked
--   dataset: name of the prompt's set
--   prompt: the prompt without a template
--   role: recipient, donor or patched
--   variant: name of the variant
--   text: the completion without special tokens
--   judge -> judges.judge: the run's first judge; NULL without judges
--   score [judge's units]: that judge's score; NULL if it was not judged
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: who wrote
-- Units:   score is the first judge's score of that completion, in the judge's units; NULL if it was not judged.
-- Caveats: ordinal is the prompt's place in the run, from 0. Texts are the models' own: treat them as hostile.
CREATE OR REPLACE VIEW figure_completions AS
WITH headlines AS (
    SELECT run_id, variant_id FROM figure_sets WHERE headline
)
SELECT
    c.run,
    rp.ordinal,
    c.prompt_id,
    c.dataset,
    c.prompt,
    c.role,
    c.variant,
    c.text,
    judges.judge,
    judged.score,
    c.run_id,
    c.variant_id
FROM run_completions AS c
JOIN run_prompts AS rp USING (run_id, prompt_id)
LEFT JOIN headlines AS h USING (run_id, variant_id)
LEFT JOIN figure_judges AS judges ON judges.run_id = c.run_id AND judges.position = 1
LEFT JOIN judgements AS judged
    ON judged.run_id = c.run_id AND judged.variant_id = c.variant_id AND judged.prompt_id = c.prompt_id
    AND judged.judge = judges.judge AND judged.sample = c.sample
WHERE c.sample = 0 AND c.kind = 'patch' AND c.status = 'done'
    AND (c.role IN ('recipient', 'donor') OR h.variant_id IS NOT NULL);
