-- Purpose: how well guards tell harmful from harmless, beside random neurons.
-- Grain:   one row per finished guard or guard-test run, set of neurons, kind, data set ('*': all of a run with
--          several) and measure.
-- Key:     run_id, neurons, kind, dataset, measure
-- Columns:
--   run -> runs.name: the run
--   stage: train (each prompt held out of the fit that judges it) or test (prompts that the guard has not seen)
--   guard -> runs.name: the guard; of a guard run itself
--   neurons: expression of the chosen neurons
--   n_neurons [neurons]: how many are read
--   kind: guard, or matched, magnitude, last-layer or anywhere: the mean over random neurons of that kind
--   n_classifiers [classifiers]: how many the value is the mean of, one for each seed
--   dataset: the data set; * for all of the run's
--   measure: accuracy, balanced-accuracy, auroc, f1, recall, false-positives, brier, ece, false-alarms or majority
--   value: the measure; NULL where it is undefined
--   ci_low: lower end of its interval: Wilson's for a share of prompts by one classifier, else bootstrap
--   ci_high: upper end of its interval
--   difference: the guard's value minus this one, on the same prompts; NULL for the guard itself
--   difference_ci_low: lower end of its paired interval
--   difference_ci_high: upper end of it
--   n_prompts [prompts]: prompts with a label
--   n_harmful [prompts]: those whose answer is judged harmful
--   n_benign [prompts]: those that were given as benign
--   is_main: whether these are the neurons that the guard itself reads
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts
--   seed: seed of the bootstrap
--   run_id -> runs.run_id: the run
--   model: spec of the model whose answers are predicted
--   judge -> judges.judge: the judge of these answers
--   trained_on: names of the data sets that the guard was trained on, with commas between
-- Units:   all measures are shares from 0 to 1; brier is a mean square and ece a mean difference of probabilities.
-- Caveats: docs/guard.md has the formulae. Lower is better for false-positives, false-alarms, brier, ece. majority is
--          the accuracy of always saying what most of these prompts are. A difference whose interval covers 0 does not
--          show that the chosen neurons matter.
CREATE OR REPLACE VIEW guard_scores AS
SELECT
    runs.name AS run,
    CASE WHEN runs.kind = 'guard' THEN 'train' ELSE 'test' END AS stage,
    coalesce(runs.config ->> '$.guard', runs.name) AS guard,
    m.neurons,
    m.n_neurons,
    m.kind,
    m.n_classifiers,
    m.dataset,
    m.measure,
    m.value,
    m.ci_low,
    m.ci_high,
    m.difference,
    m.difference_ci_low,
    m.difference_ci_high,
    m.n_prompts,
    m.n_harmful,
    m.n_benign,
    m.neurons = coalesce(c.neurons, '') AS is_main,
    m.confidence,
    m.resamples,
    m.seed,
    m.run_id,
    runs.config ->> '$.model' AS model,
    runs.config ->> '$.judge' AS judge,
    array_to_string(
        from_json(coalesce(runs.config -> '$.trained_on', g.about -> '$.facts.datasets'), '["VARCHAR"]'), ', '
    ) AS trained_on
FROM guard_measures AS m
JOIN runs USING (run_id)
LEFT JOIN guards AS g USING (run_id)
LEFT JOIN guard_classifiers AS c ON c.run_id = m.run_id AND c.classifier_id = 0
WHERE runs.status = 'done' AND runs.kind <> 'guard-compare';
