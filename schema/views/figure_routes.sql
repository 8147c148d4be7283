-- Purpose: total and direct effects of the same sets, side by side: the chart `routes`.
-- Grain:   one row per run, data set and patched set (kind 'set') or random control of it (kind 'control').
-- Key:     run, variant, dataset
-- Columns:
--   kind: set or control
--   run -> runs.name: the patch run
--   route: total (the donor's activations are handed over) or direct (its parameters are)
--   recipient: spec of the recipient
--   donor: spec of the donor
--   series: expression of the set, or of the set controlled, without its size
--   variant: name of the patched set or control
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   judge -> judges.judge: the run's first judge
--   dataset: the data set; * for all of the run's
--   n_prompts [prompts]: prompts with a score under every variant
--   effect [share]: causal effect; NULL where it is undefined
--   ci_low [share]: lower end of the effect's interval
--   ci_high [share]: upper end of the effect's interval
--   n_controls [controls]: matched random controls of the set; NULL for controls
--   control_mean [share]: mean effect of the controls; NULL for controls
--   control_min [share]: lowest effect of the controls; NULL for controls
--   control_max [share]: highest effect of the controls; NULL for controls
--   control_seed: seed of the random control; NULL for sets
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   pooled: whether the row is over all prompts of the run
-- Units:   effect as in causal_effects.
-- Caveats: sets of one series, pair of models, data set and judge that were patched by both routes, in whatever runs;
--          where several runs have a set by one route, the last one by both that began, or else the last of all.
CREATE OR REPLACE VIEW figure_routes AS
WITH found AS (
    SELECT f.* REPLACE (set_series(f.neurons) AS series), c.route, runs.started_at
    FROM figure_effects AS f
    JOIN causal_effects AS c USING (run_id, variant_id, judge, dataset)
    JOIN variants AS v USING (run_id, variant_id)
    JOIN runs USING (run_id)
    WHERE f.judge_position = 1 AND f.n_neurons IS NOT NULL AND c.route IS NOT NULL
        AND coalesce((runs.config ->> '$.freeze')::BOOLEAN, FALSE) = FALSE
    QUALIFY row_number() OVER (
        PARTITION BY f.recipient, f.donor, f.judge, f.dataset, f.neurons, c.route
        ORDER BY v.route IS NOT NULL DESC, runs.started_at DESC, f.run
    ) = 1
),
both_routes AS (
    SELECT recipient, donor, judge, dataset, series
    FROM found
    GROUP BY ALL
    HAVING count(DISTINCT route) = 2
),
sets AS (FROM found SEMI JOIN both_routes USING (recipient, donor, judge, dataset, series))
SELECT
    'set' AS kind,
    run, route, recipient, donor, series, variant, n_neurons, fraction, judge, dataset, n_prompts, effect, ci_low,
    ci_high, n_controls, control_mean, control_min, control_max,
    NULL::INTEGER AS control_seed,
    confidence, resamples, seed, pooled
FROM sets
UNION ALL
SELECT
    'control' AS kind,
    s.run, s.route, s.recipient, s.donor, s.series, c.variant, c.n_neurons, c.fraction, s.judge, s.dataset, c.n_prompts,
    c.effect, c.ci_low, c.ci_high,
    NULL AS n_controls, NULL AS control_mean, NULL AS control_min, NULL AS control_max,
    c.control_seed,
    c.confidence, c.resamples, c.seed, s.pooled
FROM sets AS s
JOIN causal_effects AS c
    ON c.run_id = s.run_id AND c.control_of = s.variant AND c.judge = s.judge AND c.dataset = s.dataset
WHERE c.control_kind = 'matched';
