-- Purpose: the value vector of each neuron that a lens run has read, in models of one shape.
-- Grain:   one row per layer, expert and neuron: of its last lens run with a refusal direction, else of its last.
-- Parameters:
--   layers [layers]: layers of the model
--   neurons [neurons]: neurons of each layer, those of all its experts
--   run_name -> runs.name: the lens run; NULL for any
-- Columns:
--   layer: layer of the neuron, from 0
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   neuron: place of the neuron in its layer or expert, from 0
--   run -> runs.name: the lens run
--   norm: Euclidean norm of the down-projection's column
--   refusal_cosine: cosine of the vector, as written to the stream, with the refusal direction; NULL without one
--   refusal_percentile [percent]: neurons of the layer with a lower cosine; NULL without a direction
-- Example: FROM latest_vectors(9, 72)
CREATE OR REPLACE MACRO latest_vectors(layers, neurons, run_name := NULL) AS TABLE
SELECT v.layer, v.expert, v.neuron, v.run, v.norm, v.refusal_cosine, v.refusal_percentile
FROM value_vectors AS v
SEMI JOIN (
    SELECT r.run_id FROM run_models AS r JOIN models AS m USING (model_id)
    WHERE m.n_layers = layers AND m.n_neurons = neurons
) USING (run_id)
WHERE run_name IS NULL OR v.run = run_name
QUALIFY row_number() OVER (
    PARTITION BY v.layer, v.expert, v.neuron ORDER BY v.refusal_cosine IS NULL, v.run_id DESC
) = 1;
