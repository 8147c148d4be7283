-- Purpose: causal effects of the tops of rankings by several scorers, side by side: the chart and table `scorers`.
-- Grain:   one row per patched set written RUN:AMOUNT, judge and data set, of finished patch runs with sets of at least
--          two scorers.
-- Key:     run, variant, judge, dataset
-- Columns:
--   run -> runs.name: the patch run
--   scorer: how the neurons were ranked: docs/scorers.md
--   source -> runs.name: the locate run with that ranking
--   variant: name of the patched set
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   judge -> judges.judge: the judge
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
--   difference [share]: effect less that of the controls; NULL without controls
--   difference_ci_low [share]: lower end of its interval
--   difference_ci_high [share]: upper end of its interval
--   p_value [probability]: two-sided p of sign flips of set less controls; NULL without controls
--   overlap [share]: neurons of the set that are also in the run's set of change scores; NULL without such a set
--   chance [share]: what overlap would be for a random set of any neurons of the model
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   judge_position: place of the judge in the run, from 1
--   pooled: whether the row is over all prompts of the run
-- Units:   effects as in causal_effects.
-- Caveats: a scorer may leave neurons out, so that its set is smaller than the others': compare n_neurons. overlap is
--          over the size of the set itself. Of several sets of change scores in a run, the largest is compared with.
CREATE OR REPLACE VIEW scorer_effects AS
WITH scored AS (
    SELECT s.*, l.scorer, l.n_ranked
    FROM figure_sources AS s
    JOIN locate_runs AS l ON l.run = s.source
    WHERE NOT s.is_window
    QUALIFY count(DISTINCT l.scorer) OVER (PARTITION BY s.run_id) >= 2
),
members AS (
    SELECT v.run_id, v.variant_id, m.layer, m.expert, m.neuron
    FROM variants AS v
    JOIN neuron_set_members AS m USING (set_id)
    SEMI JOIN scored USING (run_id, variant_id)
),
reference AS (
    SELECT DISTINCT run_id, variant_id, n_neurons, n_ranked
    FROM scored
    WHERE scorer = 'change-score'
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY n_neurons DESC, variant_id, judge, dataset) = 1
),
shared AS (
    SELECT m.run_id, m.variant_id, count(r.variant_id) AS n_shared
    FROM members AS m
    LEFT JOIN (SELECT m.* FROM members AS m SEMI JOIN reference USING (run_id, variant_id)) AS r
        ON m.run_id = r.run_id AND m.layer = r.layer AND m.neuron = r.neuron AND m.expert IS NOT DISTINCT FROM r.expert
    GROUP BY m.run_id, m.variant_id
)
SELECT
    s.run,
    s.scorer,
    s.source,
    s.variant,
    s.n_neurons,
    s.fraction,
    s.judge,
    s.dataset,
    s.n_prompts,
    s.effect,
    s.ci_low,
    s.ci_high,
    s.defined,
    s.n_controls,
    s.control_mean,
    s.control_min,
    s.control_max,
    c.controls_effect_difference AS difference,
    c.controls_effect_difference_ci_low AS difference_ci_low,
    c.controls_effect_difference_ci_high AS difference_ci_high,
    c.controls_permutation_p_value AS p_value,
    CASE WHEN r.run_id IS NOT NULL THEN n.n_shared / s.n_neurons END AS overlap,
    r.n_neurons / r.n_ranked AS chance,
    s.confidence,
    s.resamples,
    s.seed,
    s.judge_position,
    s.pooled
FROM scored AS s
JOIN causal_effects AS c USING (run_id, variant_id, judge, dataset)
LEFT JOIN reference AS r USING (run_id)
LEFT JOIN shared AS n ON n.run_id = s.run_id AND n.variant_id = s.variant_id;
