-- Purpose: how much the neurons of each layer change, and in which direction: the chart `shift`.
-- Grain:   one row per finished locate run and layer with scored neurons, layers that are not ranked included.
-- Key:     run, layer
-- Columns:
--   run -> runs.name: the locate run
--   layer: the layer, from 0
--   depth [share]: place of the layer between the model's first (0) and last (1)
--   ranked: whether the run ranks neurons of the layer
--   n_neurons [neurons]: scored neurons of the layer
--   shift_mean [activation]: mean over the layer's neurons of mean_difference (after - before)
--   shift_p05 [activation]: 5 % quantile of mean_difference over the layer's neurons
--   shift_p25 [activation]: 25 % quantile
--   shift_p50 [activation]: median
--   shift_p75 [activation]: 75 % quantile
--   shift_p95 [activation]: 95 % quantile
--   score_p50 [activation]: median of the change scores of the layer's neurons
--   score_p95 [activation]: 95 % quantile of the change scores
--   n_layers [layers]: layers of the model
-- Units:   quantiles are interpolated between neurons; all neurons of the layer count, of all its experts.
-- Caveats: the quantiles are the spread over neurons, no intervals of the mean. Neurons that increase and neurons that
--          decrease cancel out in shift_mean, not in the scores. Shifts are NULL where scores were imported without.
CREATE OR REPLACE VIEW figure_shift AS
WITH layers AS (
    SELECT
        run_id,
        layer,
        count(rank) > 0 AS ranked,
        count(score) AS n_neurons,
        avg(mean_difference) AS shift_mean,
        quantile_cont(mean_difference, [0.05, 0.25, 0.5, 0.75, 0.95]) AS shifts,
        quantile_cont(score, [0.5, 0.95]) AS scores
    FROM neuron_statistics
    GROUP BY run_id, layer
    HAVING count(score) > 0
)
SELECT
    r.run,
    l.layer,
    CASE WHEN r.n_layers > 1 THEN l.layer / (r.n_layers - 1) ELSE 0 END AS depth,
    l.ranked,
    l.n_neurons,
    l.shift_mean,
    l.shifts[1] AS shift_p05,
    l.shifts[2] AS shift_p25,
    l.shifts[3] AS shift_p50,
    l.shifts[4] AS shift_p75,
    l.shifts[5] AS shift_p95,
    l.scores[1] AS score_p50,
    l.scores[2] AS score_p95,
    r.n_layers
FROM layers AS l
JOIN locate_runs AS r USING (run_id)
WHERE r.scorer = 'change-score' AND r.null_of IS NULL;
