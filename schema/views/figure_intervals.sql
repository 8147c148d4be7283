-- Purpose: how sure the scores of the highest-ranked neurons are, in runs with --bootstrap: the chart `intervals`.
-- Grain:   one row per finished locate run with intervals and neuron of its 30 highest ranks.
-- Key:     run, rank
-- Columns:
--   run -> runs.name: the locate run
--   rank: 1 for the highest score
--   layer: layer of the neuron, from 0
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   neuron: place of the neuron in its layer or expert, from 0
--   score [activation]: change score over all prompts
--   ci_low [activation]: lower end of the 95 % percentile interval
--   ci_high [activation]: upper end
--   standard_error [activation]: standard error of the score over prompts
--   top_share [share]: resamples in which the neuron is among the top 5 % of the ranked
--   threshold [activation]: lowest score of the run's top 5 %
--   threshold_rank: its rank
--   n_ranked [neurons]: ranked neurons of the run
--   n_prompts [prompts]: prompts of the run
--   resamples: bootstrap resamples of the prompts, from the run's settings; NULL where these do not say
-- Units:   as in neuron_intervals.
-- Caveats: an interval says how the score would vary with other prompts of the same kind. The neurons were chosen for
--          their high scores on these very prompts, so on other prompts their scores tend to be lower.
CREATE OR REPLACE VIEW figure_intervals AS
WITH ranked AS (
    SELECT s.run_id, s.rank, s.score, greatest(1, round(0.05 * r.n_ranked))::INTEGER AS threshold_rank
    FROM neuron_statistics AS s
    JOIN locate_runs AS r USING (run_id)
    WHERE s.rank IS NOT NULL
),
thresholds AS (
    SELECT run_id, threshold_rank, score AS threshold FROM ranked WHERE rank = threshold_rank
)
SELECT
    i.run,
    i.rank,
    i.layer,
    i.expert,
    i.neuron,
    i.score,
    i.ci_low,
    i.ci_high,
    i.standard_error,
    i.top_share,
    t.threshold,
    t.threshold_rank,
    r.n_ranked,
    r.n_prompts,
    TRY_CAST(runs.config ->> '$.bootstrap' AS INTEGER) AS resamples
FROM neuron_intervals AS i
JOIN locate_runs AS r USING (run_id)
JOIN thresholds AS t USING (run_id)
JOIN runs USING (run_id)
WHERE i.rank <= 30;
