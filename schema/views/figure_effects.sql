-- Purpose: every measured causal effect beside its random controls: what the charts and tables of effects are made of.
-- Grain:   one row per finished patch run, patched set (controls are summarised, not listed), judge and data set.
-- Key:     run_id, variant_id, judge, dataset
-- Columns:
--   run -> runs.name: the patch run
--   series: expression of the set without its size
--   variant: name of the patched set
--   neurons: expression of the patched set
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   judge -> judges.judge: the judge
--   dataset: the data set; * for all of the run's
--   n_prompts [prompts]: prompts with a score under every variant
--   effect [share]: change over gap; NULL where the gap's interval covers 0
--   ci_low [share]: lower end of the effect's interval
--   ci_high [share]: upper end of the effect's interval
--   defined: whether there is an effect
--   confidence [share]: level of the intervals, such as 0.95
--   mean_recipient [judge's units]: mean score of the unpatched recipient
--   mean_patched [judge's units]: mean score with the set patched
--   mean_donor [judge's units]: mean score of the donor
--   gap [judge's units]: mean_donor - mean_recipient
--   gap_ci_low [judge's units]: lower end of the gap's interval
--   gap_ci_high [judge's units]: upper end of the gap's interval
--   change [judge's units]: mean_patched - mean_recipient
--   change_ci_low [judge's units]: lower end of the change's interval
--   change_ci_high [judge's units]: upper end of the change's interval
--   n_controls [controls]: matched random controls
--   n_controls_defined [controls]: those with an effect
--   n_controls_reaching [controls]: those with an effect at least as large as the set's
--   control_mean [share]: mean effect of the controls
--   control_min [share]: lowest effect of the controls
--   control_max [share]: highest effect of the controls
--   control_seed_first: lowest seed of the controls
--   control_seed_last: highest seed of the controls
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   recipient: spec of the recipient
--   donor: spec of the donor
--   judge_position: place of the judge in the run, from 1
--   pooled: whether the row is over all prompts of the run
--   headline: whether charts with one set a series show this one
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: the patched set
-- Units:   as in causal_effects; control_* summarise the effects of the set's matched random controls.
-- Caveats: runs without a donor have no effects and are not here. series is the set's expression without its size, so
--          that the steps of a sweep belong together; it and headline are those of figure_sets. pooled marks the row
--          over all prompts of the run. n_controls counts all controls, n_controls_defined those with an effect, and
--          n_controls_reaching those with an effect at least as large as the set's.
CREATE OR REPLACE VIEW figure_effects AS
WITH found AS (
    SELECT
        c.*,
        runs.config ->> '$.recipient' AS recipient,
        runs.config ->> '$.donor' AS donor,
        judges.position AS judge_position,
        c.dataset = '*' OR count(DISTINCT c.dataset) OVER (PARTITION BY c.run_id) = 1 AS pooled
    FROM causal_effects AS c
    JOIN runs USING (run_id)
    JOIN figure_judges AS judges USING (run_id, judge)
    WHERE runs.kind = 'patch' AND runs.status = 'done' AND c.gap IS NOT NULL
),
sets AS (
    SELECT found.*, kinds.series, kinds.headline
    FROM found
    JOIN figure_sets AS kinds USING (run_id, variant_id)
),
controls AS (
    SELECT
        s.run_id,
        s.variant_id,
        s.judge,
        s.dataset,
        count(*) AS n_controls,
        count(c.effect) AS n_controls_defined,
        count(*) FILTER (c.effect >= s.effect) AS n_controls_reaching,
        avg(c.effect) AS control_mean,
        min(c.effect) AS control_min,
        max(c.effect) AS control_max,
        min(c.control_seed) AS control_seed_first,
        max(c.control_seed) AS control_seed_last
    FROM sets AS s
    JOIN found AS c
        ON c.run_id = s.run_id AND c.control_of = s.variant AND c.judge = s.judge AND c.dataset = s.dataset
    WHERE c.control_kind = 'matched'
    GROUP BY s.run_id, s.variant_id, s.judge, s.dataset
)
SELECT
    sets.run,
    sets.series,
    sets.variant,
    sets.neurons,
    sets.n_neurons,
    sets.fraction,
    sets.judge,
    sets.dataset,
    sets.n_prompts,
    sets.effect,
    sets.ci_low,
    sets.ci_high,
    sets.defined,
    sets.confidence,
    sets.mean_recipient,
    sets.mean_patched,
    sets.mean_donor,
    sets.gap,
    sets.gap_ci_low,
    sets.gap_ci_high,
    sets.change,
    sets.change_ci_low,
    sets.change_ci_high,
    coalesce(controls.n_controls, 0) AS n_controls,
    coalesce(controls.n_controls_defined, 0) AS n_controls_defined,
    coalesce(controls.n_controls_reaching, 0) AS n_controls_reaching,
    controls.control_mean,
    controls.control_min,
    controls.control_max,
    controls.control_seed_first,
    controls.control_seed_last,
    sets.resamples,
    sets.seed,
    sets.recipient,
    sets.donor,
    sets.judge_position,
    sets.pooled,
    sets.headline,
    sets.run_id,
    sets.variant_id
FROM sets
LEFT JOIN controls USING (run_id, variant_id, judge, dataset);
