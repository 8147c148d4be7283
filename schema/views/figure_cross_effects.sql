-- Purpose: effects of equally large tops of several rankings, in each direction of patching: the chart `cross-effects`.
-- Grain:   one row per patch run, patched set and judge, over all prompts of the run, of each direction in which sets
--          of at least two rankings were patched under equal settings.
-- Key:     run, variant, judge
-- Columns:
--   run -> runs.name: the patch run
--   variant: name of the patched set
--   source -> runs.name: locate run whose top the set is
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   recipient: spec of the recipient
--   donor: spec of the donor
--   judge -> judges.judge: the judge
--   dataset: the data set; * if the run has several
--   n_prompts [prompts]: prompts with a score under every variant
--   effect [share]: causal effect; NULL where it is undefined
--   ci_low [share]: lower end of the effect's interval
--   ci_high [share]: upper end of the effect's interval
--   defined: whether there is an effect
--   n_controls [controls]: matched random controls
--   control_mean [share]: mean effect of the controls
--   control_min [share]: lowest effect of the controls
--   control_max [share]: highest effect of the controls
--   controls_p_value [probability]: two-sided p of sign flips of set less controls; NULL without controls
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   judge_position: place of the judge in the run, from 1
--   setup: hash of the prompts and of all settings but the patched sets: equal where effects can be compared
-- Units:   effects as in causal_effects.
-- Caveats: of the amounts that were patched under equal settings (5%, 1000), only the one that most rankings have; 5%,
--          then the larger one, where several do. A set that two runs patched is here twice. Undefined effects are here
--          as NULL.
CREATE OR REPLACE VIEW figure_cross_effects AS
WITH tops AS (
    FROM figure_sources
    WHERE NOT is_window AND pooled
),
amounts AS (
    SELECT setup, judge, high, in_percent
    FROM tops
    GROUP BY setup, judge, high, in_percent
    HAVING count(DISTINCT source) >= 2
    QUALIFY row_number() OVER (
        PARTITION BY setup, judge
        ORDER BY count(DISTINCT source) DESC, (in_percent AND high = 5) DESC, max(n_neurons) DESC, in_percent, high
    ) = 1
)
SELECT
    run, variant, source, n_neurons, fraction, recipient, donor, judge, dataset, n_prompts, effect, ci_low, ci_high,
    defined, n_controls, control_mean, control_min, control_max, controls_p_value, confidence, resamples, seed,
    judge_position, setup
FROM tops
SEMI JOIN amounts USING (setup, judge, high, in_percent);
