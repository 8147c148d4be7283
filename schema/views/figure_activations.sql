-- Purpose: mean activations of the highest-ranked neurons before and after: the chart `activations`.
-- Grain:   one row per finished locate run and neuron of its top 5 %, at most 400 of a run.
-- Key:     run, rank
-- Columns:
--   run -> runs.name: the locate run
--   rank: 1 for the highest score
--   layer: layer of the neuron, from 0
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   neuron: place of the neuron in its layer or expert, from 0
--   score [activation]: change score
--   mean_before [activation]: mean under the model before
--   mean_after [activation]: mean under the model after
--   std_before [activation]: standard deviation (n-1) over the tokens under the model before
--   std_after [activation]: standard deviation (n-1) over the tokens under the model after
--   change: of the mean: flips (its sign), grows or shrinks (its magnitude, with the same sign or from or to 0), same
--   n_tokens [tokens]: tokens that reached the neuron
--   k [neurons]: size of the top 5 %
--   n_ranked [neurons]: ranked neurons of the run
-- Units:   means over all scored tokens of all prompts.
-- Caveats: neurons without means (imported scores can lack them) are not here. A high change score does not need a
--          change of the mean: it is the root mean square of the change at single tokens.
CREATE OR REPLACE VIEW figure_activations AS
SELECT
    s.run,
    s.rank,
    s.layer,
    s.expert,
    s.neuron,
    s.score,
    s.mean_before,
    s.mean_after,
    s.std_before,
    s.std_after,
    CASE
        WHEN s.mean_before < 0 AND s.mean_after > 0 OR s.mean_before > 0 AND s.mean_after < 0 THEN 'flips'
        WHEN abs(s.mean_after) > abs(s.mean_before) THEN 'grows'
        WHEN abs(s.mean_after) < abs(s.mean_before) THEN 'shrinks'
        ELSE 'same'
    END AS change,
    s.n_tokens,
    greatest(1, round(0.05 * r.n_ranked))::INTEGER AS k,
    r.n_ranked
FROM neuron_scores AS s
JOIN locate_runs AS r USING (run_id)
WHERE s.rank <= least(400, greatest(1, round(0.05 * r.n_ranked)))
    AND s.mean_before IS NOT NULL AND s.mean_after IS NOT NULL;
