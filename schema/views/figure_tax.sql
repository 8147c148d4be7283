-- Purpose: what patching a run's main neuron sets costs or gains under every judge: the chart `tax`.
-- Grain:   one row per run, main set (the headline of figure_effects), judge and data set.
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
--   mean_donor [judge's units]: mean score of the donor
--   gap [judge's units]: mean_donor - mean_recipient
--   gap_ci_low [judge's units]: lower end of the gap's interval
--   gap_ci_high [judge's units]: upper end of the gap's interval
--   change [judge's units]: mean_patched - mean_recipient
--   change_ci_low [judge's units]: lower end of the change's interval
--   change_ci_high [judge's units]: upper end of the change's interval
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts
--   seed: seed of the bootstrap
--   judge_position: place of the judge in the run, from 1
-- Units:   means and change (patched - recipient) are in the judge's units, so compare them within one judge only.
-- Caveats: whether more is better depends on the judge: a cost is better low, a reward better high.
CREATE OR REPLACE VIEW figure_tax AS
SELECT
    run, series, variant, n_neurons, fraction, judge, dataset, n_prompts, mean_recipient, mean_patched, mean_donor, gap,
    gap_ci_low, gap_ci_high, change, change_ci_low, change_ci_high, confidence, resamples, seed, judge_position
FROM figure_effects
WHERE headline;
