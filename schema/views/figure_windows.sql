-- Purpose: causal effect of windows of ranks, one after the other down a ranking: the chart `windows`.
-- Grain:   one row per patch run, window of a ranking and data set, of rankings with at least two windows in the run.
-- Key:     run, variant, dataset
-- Columns:
--   run -> runs.name: the patch run
--   variant: name of the patched window
--   source -> runs.name: locate run whose ranking it is a window of
--   begins [share]: where the window begins, as a share of the ranked neurons; NULL if that cannot be told
--   ends [share]: where it ends
--   rank_before [rank]: the rank before its first
--   rank_last [rank]: its last rank
--   n_neurons [neurons]: size of the window
--   fraction [share]: n_neurons over all neurons of the model
--   judge -> judges.judge: the run's first judge
--   dataset: the data set; * for all of the run's
--   n_prompts [prompts]: prompts with a score under every variant
--   effect [share]: causal effect; NULL where it is undefined
--   ci_low [share]: lower end of the effect's interval
--   ci_high [share]: upper end of the effect's interval
--   defined: whether there is an effect
--   n_controls [controls]: matched random controls
--   control_mean [share]: mean effect of the controls
--   control_min [share]: lowest effect of the controls
--   control_max [share]: highest effect of the controls
--   controls_p_value [probability]: two-sided p of sign flips of window less controls; NULL without controls
--   even [share]: the effect if every neuron of the model carried as much as any other
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   pooled: whether the row is over all prompts of the run
-- Units:   effects as in causal_effects.
-- Caveats: only the first judge of each run. Ranks and shares need the locate run: begins and ends are NULL for ranks,
--          and rank_before and rank_last for percentages, where it is gone. Undefined effects are here as NULL.
CREATE OR REPLACE VIEW figure_windows AS
WITH ranked AS (
    SELECT runs.name AS source, count(stats.rank) AS n_ranked
    FROM neuron_statistics AS stats
    JOIN runs USING (run_id)
    WHERE runs.kind = 'locate' AND runs.status = 'done'
    GROUP BY runs.name
),
windows AS (
    FROM figure_sources
    WHERE is_window AND judge_position = 1
    QUALIFY count(*) OVER (PARTITION BY run_id, source, dataset) >= 2
)
SELECT
    run,
    variant,
    source,
    CASE WHEN in_percent THEN low / 100 ELSE low / n_ranked END AS begins,
    CASE WHEN in_percent THEN high / 100 ELSE high / n_ranked END AS ends,
    CASE
        WHEN NOT in_percent OR low = 0 THEN low
        WHEN n_ranked IS NOT NULL THEN greatest(round_even(low / 100 * n_ranked, 0), 1)
    END::INTEGER AS rank_before,
    CASE
        WHEN NOT in_percent THEN high
        WHEN n_ranked IS NOT NULL THEN greatest(round_even(high / 100 * n_ranked, 0), 1)
    END::INTEGER AS rank_last,
    n_neurons,
    fraction,
    judge,
    dataset,
    n_prompts,
    effect,
    ci_low,
    ci_high,
    defined,
    n_controls,
    control_mean,
    control_min,
    control_max,
    controls_p_value,
    fraction AS even,
    confidence,
    resamples,
    seed,
    pooled
FROM windows
LEFT JOIN ranked USING (source);
