-- Purpose: scores and statistics of every neuron of every finished locate run.
-- Grain:   one row per run, layer, expert and neuron.
-- Key:     run, layer, expert, neuron
-- Columns:
--   run -> runs.name: the locate run
--   layer: layer of the neuron, from 0
--   neuron: place of the neuron in its layer or expert, from 0
--   score: change score, the root mean square of after - before, or that of the run's scorer; NULL without tokens
--   rank: 1 for the highest score; NULL where a neuron is not ranked
--   mean_before [activation]: mean under the model before
--   mean_after [activation]: mean under the model after
--   std_before [activation]: standard deviation (n-1) under the model before
--   std_after [activation]: standard deviation (n-1) under the model after
--   n_tokens [tokens]: scored tokens
--   mean_difference [activation]: mean of after - before
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   run_id -> runs.run_id: the run
-- Units:   a change score is a root mean square difference of activations; means and standard deviations (n-1) are
--          activations. Other scorers have other units, and before and after may be two prompt sets: docs/scorers.md.
-- Caveats: rank is NULL in the layers that the run left out (--skip-last-layers) and for neurons that the scorer leaves
--          out; mean_difference is after - before.
CREATE OR REPLACE VIEW neuron_scores AS
SELECT
    runs.name AS run,
    s.layer,
    s.neuron,
    s.score,
    s.rank,
    s.mean_before,
    s.mean_after,
    s.std_before,
    s.std_after,
    s.n_tokens,
    s.mean_difference,
    s.expert,
    s.run_id
FROM neuron_statistics AS s
JOIN runs USING (run_id)
WHERE runs.status = 'done';
