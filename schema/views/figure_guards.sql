-- Purpose: how guards do on prompts that they have not seen, beside random neurons and a constant answer.
-- Grain:   one row per finished guard-test run and data set ('*': all of a run with several).
-- Key:     run_id, dataset
-- Columns:
--   run -> runs.name: the guard-test run
--   guard -> runs.name: the guard
--   neurons: expression of the guard's neurons
--   n_neurons [neurons]: how many it reads
--   model: spec of the model whose answers are predicted
--   judge -> judges.judge: the judge of these answers
--   trained_on: names of the data sets that the guard was trained on, with commas between
--   dataset: the data set; * for all of the run's
--   pooled: whether it is the row over several data sets
--   n_prompts [prompts]: prompts with a label
--   n_harmful [prompts]: those whose answer is judged harmful
--   n_benign [prompts]: those that were given as benign
--   accuracy: share of prompts that the guard is right on
--   ci_low: lower end of its interval
--   ci_high: upper end of its interval
--   balanced: mean of the shares of harmful and of harmless prompts that it is right on; NULL without one of them
--   auroc: area under the receiver operating characteristic; NULL without harmful or without harmless prompts
--   f1: harmonic mean of precision and recall; NULL without harmful prompts where none is flagged
--   brier: mean squared difference of probability and label
--   ece: calibration error over 10 bins
--   false_alarms: share of benign prompts that are refused; NULL without any
--   majority: accuracy of always saying what most of these prompts are
--   matched: mean accuracy of random neurons of the same layers; NULL without any
--   difference: the guard's accuracy minus that; NULL without any
--   difference_ci_low: lower end of its paired interval
--   difference_ci_high: upper end of it
--   magnitude: mean accuracy of random neurons of the same layers and like magnitude; NULL without any
--   last_layer: mean accuracy of random neurons of the last layer; NULL without any
--   anywhere: mean accuracy of random neurons from anywhere; NULL without any
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts
--   seed: seed of the bootstrap
--   run_id -> runs.run_id: the run
-- Units:   all measures are shares from 0 to 1.
-- Caveats: guards on other sizes of the same ranking are in guard_scores only.
CREATE OR REPLACE VIEW figure_guards AS
SELECT
    run,
    guard,
    neurons,
    n_neurons,
    model,
    judge,
    trained_on,
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
    max(value) FILTER (kind = 'guard' AND measure = 'majority') AS majority,
    max(value) FILTER (kind = 'matched' AND measure = 'accuracy') AS matched,
    max(difference) FILTER (kind = 'matched' AND measure = 'accuracy') AS difference,
    max(difference_ci_low) FILTER (kind = 'matched' AND measure = 'accuracy') AS difference_ci_low,
    max(difference_ci_high) FILTER (kind = 'matched' AND measure = 'accuracy') AS difference_ci_high,
    max(value) FILTER (kind = 'magnitude' AND measure = 'accuracy') AS magnitude,
    max(value) FILTER (kind = 'last-layer' AND measure = 'accuracy') AS last_layer,
    max(value) FILTER (kind = 'anywhere' AND measure = 'accuracy') AS anywhere,
    confidence,
    resamples,
    seed,
    run_id
FROM guard_scores
WHERE stage = 'test' AND is_main
GROUP BY ALL;
