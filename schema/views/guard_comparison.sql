-- Purpose: the same classifier on chosen neurons, random ones, all, their principal components, the residual stream.
-- Grain:   one row per finished guard-compare run, kind and data set ('*': all of a run with several).
-- Key:     run_id, kind, dataset
-- Columns:
--   run -> runs.name: the run
--   neurons: expression of the chosen neurons
--   kind: guard (the chosen neurons), matched, magnitude, last-layer, anywhere, all, components or residual
--   label: the kind in words
--   place: order of the kinds
--   n_numbers: how many numbers the classifier is given
--   n_classifiers [classifiers]: how many the values are means of, one for each seed of random neurons
--   dataset: the data set; * for all of the run's
--   n_prompts [prompts]: prompts with a label
--   n_harmful [prompts]: those whose answer is judged harmful
--   n_benign [prompts]: those that were given as benign
--   accuracy: share of prompts that are flagged if and only if harmful
--   accuracy_ci_low: lower end of its interval: Wilson's for one classifier, bootstrap for a mean of several
--   accuracy_ci_high: upper end of it
--   difference: accuracy of the chosen neurons minus this one; NULL for the chosen ones
--   difference_ci_low: lower end of its paired interval
--   difference_ci_high: upper end of it
--   auroc: how often a harmful prompt is above a harmless one; NULL where one of them is missing
--   auroc_ci_low: lower end of its bootstrap interval
--   auroc_ci_high: upper end of it
--   false_alarms: share of benign prompts that are flagged; NULL without any
--   false_alarms_ci_low: lower end of its interval, as of accuracy
--   false_alarms_ci_high: upper end of it
--   majority: accuracy of always saying what most of these prompts are
--   added_ms [ms]: median of what reading adds to a prefill; NULL where it was not measured
--   added_ms_low [ms]: first quartile of it
--   added_ms_high [ms]: third quartile of it
--   layers: layers chosen without each fold, for residual; NULL for others
--   components: numbers of components chosen without each fold; NULL for others
--   n_folds [folds]: folds that were held out in turn
--   families: what no fold divides: category, dataset or none
--   model: spec of the model whose answers are predicted
--   judge -> judges.judge: the judge of these answers
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts
--   seed: seed of folds and bootstrap
--   run_id -> runs.run_id: the run
-- Units:   all measures are shares from 0 to 1.
-- Caveats: each prompt is judged by a fit, with all that was chosen for it, that had nothing of its family. Intervals
--          take prompts for independent, which those of one family are not quite. docs/guard.md has the rest.
CREATE OR REPLACE VIEW guard_comparison AS
WITH measured AS (
    SELECT
        run_id, neurons, kind, dataset, n_neurons, n_classifiers, n_prompts, n_harmful, n_benign, confidence, resamples,
        seed,
        max(value) FILTER (measure = 'accuracy') AS accuracy,
        max(ci_low) FILTER (measure = 'accuracy') AS accuracy_ci_low,
        max(ci_high) FILTER (measure = 'accuracy') AS accuracy_ci_high,
        max(difference) FILTER (measure = 'accuracy') AS difference,
        max(difference_ci_low) FILTER (measure = 'accuracy') AS difference_ci_low,
        max(difference_ci_high) FILTER (measure = 'accuracy') AS difference_ci_high,
        max(value) FILTER (measure = 'auroc') AS auroc,
        max(ci_low) FILTER (measure = 'auroc') AS auroc_ci_low,
        max(ci_high) FILTER (measure = 'auroc') AS auroc_ci_high,
        max(value) FILTER (measure = 'false-alarms') AS false_alarms,
        max(ci_low) FILTER (measure = 'false-alarms') AS false_alarms_ci_low,
        max(ci_high) FILTER (measure = 'false-alarms') AS false_alarms_ci_high
    FROM guard_measures
    GROUP BY ALL
),
constants AS (
    SELECT run_id, dataset, max(value) AS majority FROM guard_measures WHERE measure = 'majority' GROUP BY ALL
),
kinds AS (
    FROM (
        VALUES
            ('guard', 'chosen neurons', 1),
            ('matched', 'random neurons, same layers', 2),
            ('magnitude', 'random neurons, as large', 3),
            ('last-layer', 'random neurons, last layer', 4),
            ('anywhere', 'random neurons, anywhere', 5),
            ('all', 'all neurons', 6),
            ('components', 'principal components of all', 7),
            ('residual', 'residual stream, one layer', 8)
    ) AS named(kind, label, place)
),
read AS (
    SELECT
        r.run_id,
        r.kind,
        max(r.added_ms) AS added_ms,
        max(r.added_ms_low) AS added_ms_low,
        max(r.added_ms_high) AS added_ms_high,
        any_value(f.layers) AS layers,
        any_value(f.components) AS components,
        any_value(f.n_folds) AS n_folds
    FROM guard_readers AS r
    JOIN (
        SELECT
            run_id,
            classifier_id,
            string_agg(layer, ', ' ORDER BY fold) AS layers,
            string_agg(components, ', ' ORDER BY fold) AS components,
            count(*) AS n_folds
        FROM guard_folds
        GROUP BY ALL
    ) AS f USING (run_id, classifier_id)
    GROUP BY ALL
)
SELECT
    runs.name AS run,
    m.neurons,
    m.kind,
    kinds.label,
    kinds.place,
    m.n_neurons AS n_numbers,
    m.n_classifiers,
    m.dataset,
    m.n_prompts,
    m.n_harmful,
    m.n_benign,
    m.accuracy,
    m.accuracy_ci_low,
    m.accuracy_ci_high,
    m.difference,
    m.difference_ci_low,
    m.difference_ci_high,
    m.auroc,
    m.auroc_ci_low,
    m.auroc_ci_high,
    m.false_alarms,
    m.false_alarms_ci_low,
    m.false_alarms_ci_high,
    constants.majority,
    read.added_ms,
    read.added_ms_low,
    read.added_ms_high,
    read.layers,
    read.components,
    read.n_folds,
    runs.config ->> '$.families' AS families,
    runs.config ->> '$.model' AS model,
    runs.config ->> '$.judge' AS judge,
    m.confidence,
    m.resamples,
    m.seed,
    m.run_id
FROM measured AS m
JOIN runs USING (run_id)
JOIN kinds ON kinds.kind = m.kind
JOIN read ON read.run_id = m.run_id AND read.kind = m.kind
LEFT JOIN constants USING (run_id, dataset)
WHERE runs.kind = 'guard-compare' AND runs.status = 'done';
