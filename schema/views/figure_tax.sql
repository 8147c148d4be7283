-- Purpose: what patching a run's main neuron sets costs or gains under every judge: the chart `tax`.
-- Grain:   one row per run, main set (the headline of figure_sets), judge and data set.
-- Key:     run, variant, judge, dataset
-- Columns:
--   run -> runs.name: the patch run
--   series: expression of the set without its size
--   variant: name of the patched set
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   judge -> judges.judge: the judge
--   dataset: the data set; * for all of the run's
--   n_prompts [prompts]: prompts with a score under every variant
--   mean_recipient [judge's units]: mean score of the unpatched recipient
--   mean_patched [judge's units]: mean score with the set patched
--   mean_donor [judge's units]: mean score of the donor; NULL without a donor
--   gap [judge's units]: mean_donor - mean_recipient; NULL without a donor
--   gap_ci_low [judge's units]: lower end of the gap's interval
--   gap_ci_high [judge's units]: upper end of the gap's interval
--   change [judge's units]: mean_patched - mean_recipient
--   change_ci_low [judge's units]: lower end of the change's interval
--   change_ci_high [judge's units]: upper end of the change's interval
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   judge_position: place of the judge in the run, from 1
--   mode: what chosen neurons become, such as donor or zero
--   frozen: whether the donor writes, with neurons of the recipient
--   is_window: whether the set is a window of ranks; NULL if it is no part of one ranking
--   controls_kind: matched, magnitude or anywhere; NULL without controls
--   n_controls [controls]: random controls of that kind; NULL without
--   controls_mean [judge's units]: mean score of the controls
--   controls_difference [judge's units]: mean over prompts of the set's score minus the mean of its controls
--   controls_difference_ci_low [judge's units]: lower end of its interval
--   controls_difference_ci_high [judge's units]: upper end of its interval
--   controls_effect_difference [share]: controls_difference over gap; NULL where the effect is undefined
--   controls_t_p_value [probability]: two-sided p of the paired t-test of set against controls
--   controls_permutation_p_value [probability]: two-sided p of random sign flips of the differences
-- Units:   means and change (patched - recipient) are in the judge's units, so compare them within one judge only.
-- Caveats: whether more is better depends on the judge: a cost is better low, a reward better high. controls_* as in
--          causal_effects: a small p says that these controls differ from the set, not that other random sets would.
CREATE OR REPLACE VIEW figure_tax AS
SELECT
    c.run,
    s.series,
    c.variant,
    c.n_neurons,
    c.fraction,
    c.judge,
    c.dataset,
    c.n_prompts,
    c.mean_recipient,
    c.mean_patched,
    c.mean_donor,
    c.gap,
    c.gap_ci_low,
    c.gap_ci_high,
    c.change,
    c.change_ci_low,
    c.change_ci_high,
    c.confidence,
    c.resamples,
    c.seed,
    judges.position AS judge_position,
    s.mode,
    s.frozen,
    s.is_window,
    c.controls_kind,
    c.n_controls,
    c.controls_mean,
    c.controls_difference,
    c.controls_difference_ci_low,
    c.controls_difference_ci_high,
    c.controls_effect_difference,
    c.controls_t_p_value,
    c.controls_permutation_p_value
FROM causal_effects AS c
JOIN figure_sets AS s USING (run_id, variant_id)
JOIN figure_judges AS judges USING (run_id, judge)
WHERE s.headline;
