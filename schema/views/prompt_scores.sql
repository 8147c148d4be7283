-- Purpose: what each prompt says of each neuron's change score, in runs with --bootstrap.
-- Grain:   one row per run, prompt, layer, expert and neuron.
-- Key:     run, prompt_id, layer, expert, neuron
-- Columns:
--   run -> runs.name: the locate run
--   prompt_id -> prompts.prompt_id: the prompt
--   layer: layer of the neuron, from 0
--   neuron: place of the neuron in its layer or expert, from 0
--   score [activation]: change score over the scored tokens of this prompt alone
--   n_tokens [tokens]: scored tokens of the prompt that reached the neuron
--   squared_differences [activation squared]: sum over these tokens of (after - before) squared
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   run_id -> runs.run_id: the run
-- Units:   squared differences are 32-bit floats.
-- Caveats: the score of several prompts is sqrt(sum(squared_differences) / sum(n_tokens)), not a mean of their scores.
CREATE OR REPLACE VIEW prompt_scores AS
SELECT
    runs.name AS run,
    s.prompt_id,
    s.layer,
    s.neuron,
    sqrt(s.squared_differences::DOUBLE / s.n_tokens) AS score,
    s.n_tokens,
    s.squared_differences,
    s.expert,
    s.run_id
FROM prompt_sums AS s
JOIN runs USING (run_id)
WHERE runs.status = 'done';
