-- Purpose: how neurons' value vectors lie to the refusal direction, and how large they are.
-- Grain:   one row per finished lens run and neuron.
-- Key:     run, layer, expert, neuron
-- Columns:
--   run -> runs.name: the lens run
--   layer: layer of the neuron, from 0
--   neuron: place of the neuron in its layer or expert, from 0
--   norm: Euclidean norm of the down-projection's column
--   refusal_cosine: cosine of the vector, as written to the stream, with the refusal direction; NULL without one
--   refusal_percentile [percent]: neurons of the layer with a lower cosine; NULL without a direction
--   chance_deviation: standard deviation of the cosine of a random vector: 1 / sqrt(width)
--   direction_layer: layer after which the direction was taken
--   n_harmful [prompts]: harmful prompts whose mean residual stream the direction begins from
--   n_harmless [prompts]: harmless prompts whose mean is taken away
--   model: spec of the model
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   run_id -> runs.run_id: the run
-- Units:   cosines are from -1 to 1; norms are of the weights as they are.
-- Caveats: sorting by refusal_cosine looks at many neurons at once: of 10,000 random vectors some lie four deviations
--          off. A high cosine does not show that a neuron's activation ever changes: join neuron_scores.
CREATE OR REPLACE VIEW value_vectors AS
SELECT
    runs.name AS run,
    v.layer,
    v.neuron,
    v.norm,
    v.refusal_cosine,
    v.refusal_percentile,
    1 / sqrt(v.width) AS chance_deviation,
    v.direction_layer,
    d.n_harmful,
    d.n_harmless,
    runs.config ->> '$.model' AS model,
    v.expert,
    v.run_id
FROM lens_vectors AS v
JOIN runs USING (run_id)
LEFT JOIN lens_directions AS d ON d.run_id = v.run_id AND d.layer = v.direction_layer
WHERE runs.status = 'done';
