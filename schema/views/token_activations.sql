-- Purpose: the activations of a locate run's kept neurons, token by token, under both models.
-- Grain:   one row per run, prompt, position, layer, expert and neuron.
-- Units:   before and after are activations at the input of the MLP down-projection, stored as 32-bit floats.
-- Caveats: position counts from the first prompt token (0); only scored positions are stored.
CREATE OR REPLACE VIEW token_activations AS
SELECT
    runs.name AS run,
    a.prompt_id,
    a.position,
    t.token,
    a.layer,
    a.neuron,
    a.before,
    a.after,
    t.token_id,
    a.expert,
    a.run_id
FROM activation_rows AS a
JOIN runs USING (run_id)
JOIN scored_tokens AS t USING (run_id, prompt_id, position)
WHERE runs.status = 'done';
