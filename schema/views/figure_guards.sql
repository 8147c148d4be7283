-- Purpose: how guards do on prompts that they have not seen, one row with all measures: the table `guard`.
-- Grain:   one row per finished guard-test run and data set, of the neurons that the guard itself reads.
-- Key:     run_id, dataset
-- Columns:
--   run -> runs.name: the guard-test run
--   guard -> runs.name: the guard
--   neurons: expression of the guard's neurons
--   n_neurons [neurons]: how many it reads
--   dataset: the data set; * for all of the run's
--   pooled: whether the row is over all prompts of a run with several data sets
--   n_prompts [prompts]: prompts with a label
--   n_harmful [prompts]: those whose answer is judged harmful
--   n_benign [prompts]: those that were given as benign
--   accuracy [share]: prompts that the guard judges rightly
--   ci_low [share]: lower end of its interval
--   ci_high [share]: upper end of its interval
--   balanced [share]: balanced accuracy
--   auroc [share]: area under the receiver operating characteristic
--   f1 [share]: F1 of harmful prompts
--   brier: Brier score of the probabilities
--   ece: expected calibration error
--   false_alarms [share]: benign prompts that it flags
--   majority [share]: accuracy of always saying what most prompts are
--   matched [share]: mean accuracy of random neurons of the same layers
--   difference [share]: the guard's accuracy less theirs, on the same prompts
--   difference_ci_low [share]: lower end of its paired interval
--   difference_ci_high [share]: upper end of it
--   last_layer [share]: mean accuracy of random neurons of the last layer
--   anywhere [share]: mean accuracy of random neurons from anywhere
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts
--   seed: seed of the bootstrap
--   run_id -> runs.run_id: the guard-test run
-- Units:   as in guard_scores.
-- Caveats: as in guard_scores; NULL where a measure is undefined.
CREATE OR REPLACE VIEW figure_guards AS
SELECT
    run,
    guard,
    neurons,
    n_neurons,
    dataset,
    dataset = '*' AS pooled,
    n_prompts,
    n_harmful,
    n_benign,
    max(value) FILTER (kind = 'guard' AND measure = 'accuracy') AS accuracy,
    max(ci_low) FILTER (kind = 'guard' AND measure = 'accuracy') AS ci_low,
    max(ci_high) FILTER (kind = 'guard' AND measure = 'accuracy') AS ci_high,
    max(value) FILTER (kind = 'guard' AND measure = 'balanced-accuracy') AS balanced,
    max(value) FILTER (kind = 'guard' AND measure = 'auroc') AS auroc,
    max(value) FILTER (kind = 'guard' AND measure = 'f1') AS f1,
    max(value) FILTER (kind = 'guard' AND measure = 'brier') AS brier,
    max(value) FILTER (kind = 'guard' AND measure = 'ece') AS ece,
    max(value) FILTER (kind = 'guard' AND measure = 'false-alarms') AS false_alarms,
    max(value) FILTER (measure = 'majority') AS majority,
    max(value) FILTER (kind = 'matched' AND measure = 'accuracy') AS matched,
    max(difference) FILTER (kind = 'matched' AND measure = 'accuracy') AS difference,
    max(difference_ci_low) FILTER (kind = 'matched' AND measure = 'accuracy') AS difference_ci_low,
    max(difference_ci_high) FILTER (kind = 'matched' AND measure = 'accuracy') AS difference_ci_high,
    max(value) FILTER (kind = 'last-layer' AND measure = 'accuracy') AS last_layer,
    max(value) FILTER (kind = 'anywhere' AND measure = 'accuracy') AS anywhere,
    confidence,
    resamples,
    seed,
    run_id
FROM guard_scores
WHERE stage = 'test' AND is_main
GROUP BY run, guard, neurons, n_neurons, dataset, n_prompts, n_harmful, n_benign, confidence, resamples, seed, run_id;
