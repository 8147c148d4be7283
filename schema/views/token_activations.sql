-- Purpose: the activations of a locate run's kept neurons, token by token, under both models.
-- Grain:   one row per run, prompt, position, layer, expert and neuron.
-- Key:     run, prompt_id, position, layer, expert, neuron
-- Columns:
--   run -> runs.name: the locate run
--   prompt_id -> prompts.prompt_id: whose text the token is in
--   position: place in prompt and completion, from 0 at the first prompt token
--   token: the token as text
--   layer: layer of the neuron, from 0
--   neuron: place of the neuron in its layer or expert, from 0
--   before [activation]: under the model before
--   after [activation]: under the model after
--   token_id: the token's number in the vocabulary
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   run_id -> runs.run_id: the run
-- Units:   before and after are activations at the input of the MLP down-projection: 32-bit floats in rows, rounded to
--          half precision in runs with `--store parquet`.
-- Caveats: position counts from the first prompt token (0); only scored positions are stored.
CREATE OR REPLACE VIEW token_activations AS
WITH stored AS (
    SELECT run_id, layer, expert, neuron, token_index, before, after FROM activation_rows
    UNION ALL
    SELECT run_id, layer, expert, neuron, token_index, before, after FROM activation_shards()
)
SELECT
    runs.name AS run,
    t.prompt_id,
    t.position,
    t.token,
    a.layer,
    a.neuron,
    a.before,
    a.after,
    t.token_id,
    a.expert,
    a.run_id
FROM stored AS a
JOIN runs USING (run_id)
JOIN scored_tokens AS t USING (run_id, token_index)
WHERE runs.status = 'done';
