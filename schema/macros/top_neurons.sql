-- Purpose: the k highest-ranked neurons of a locate run.
-- Grain:   one row per neuron, best first.
-- Parameters:
--   run_name -> runs.name: the locate run
--   k [neurons]: how many
-- Columns:
--   name: the neuron as expressions write it, such as L12.N345
--   layer: layer of the neuron, from 0
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   neuron: place of the neuron in its layer or expert, from 0
--   score [activation]: change score
--   rank: 1 for the highest score
--   mean_before [activation]: mean under the model before
--   mean_after [activation]: mean under the model after
--   std_before [activation]: standard deviation (n-1) under the model before
--   std_after [activation]: standard deviation (n-1) under the model after
--   n_tokens [tokens]: scored tokens
-- Example: FROM top_neurons('safety', 20)
CREATE OR REPLACE MACRO top_neurons(run_name, k) AS TABLE
SELECT
    neuron_name(layer, expert, neuron) AS name,
    layer,
    expert,
    neuron,
    score,
    rank,
    mean_before,
    mean_after,
    std_before,
    std_after,
    n_tokens
FROM neuron_scores
WHERE run = run_name AND rank <= k
ORDER BY rank;
