-- Purpose: what a model's answers cost and how many prompts are refused, with and without a guard.
-- Grain:   one row per finished guard-test run, model that answers, guarding and data set ('*': all of a run with
--          several).
-- Key:     run_id, variant_id, guarded_by, dataset
-- Columns:
--   run -> runs.name: the guard-test run
--   guard -> runs.name: the guard
--   neurons: expression of the guard's neurons
--   n_neurons [neurons]: how many it reads
--   model: which model answers: before or after
--   model_spec: its spec
--   guarded_by: none, or before or after: whose activations the guard reads
--   dataset: the data set; * for all of the run's
--   judge -> judges.judge: the judge
--   mean_cost [judge's units]: mean score of accepted answers; NULL if none is accepted
--   ci_low [judge's units]: lower end of its interval
--   ci_high [judge's units]: upper end of its interval
--   change [judge's units]: mean_cost minus that of all answers of the model; about 0 if the guard guesses
--   change_ci_low [judge's units]: lower end of its interval
--   change_ci_high [judge's units]: upper end of it
--   guard_rate [share]: prompts that the guard refuses
--   guard_rate_ci_low [share]: lower end of its interval
--   guard_rate_ci_high [share]: upper end of it
--   refusal_rate [share]: prompts that the guard or the model itself refuses
--   refusal_rate_ci_low [share]: lower end of its interval
--   refusal_rate_ci_high [share]: upper end of it
--   n_prompts [prompts]: prompts whose answer has a score
--   n_accepted [prompts]: those that the guard lets through
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts
--   seed: seed of the bootstrap
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: the model that answers
-- Units:   costs are in the judge's units: lower is better for a cost, higher for a reward.
-- Caveats: the guard was trained on activations and answers of the model before; guarded_by after shows how it does on
--          another model's. Whether the model itself refuses is told by phrases of refusals, which is crude.
CREATE OR REPLACE VIEW guard_costs AS
SELECT
    runs.name AS run,
    runs.config ->> '$.guard' AS guard,
    c.neurons,
    c.n_neurons,
    v.name AS model,
    m.spec AS model_spec,
    a.guarded_by,
    a.dataset,
    a.judge,
    a.mean_cost,
    a.ci_low,
    a.ci_high,
    a.change,
    a.change_ci_low,
    a.change_ci_high,
    a.guard_rate,
    a.guard_rate_ci_low,
    a.guard_rate_ci_high,
    a.refusal_rate,
    a.refusal_rate_ci_low,
    a.refusal_rate_ci_high,
    a.n_prompts,
    a.n_accepted,
    a.confidence,
    a.resamples,
    a.seed,
    a.run_id,
    a.variant_id
FROM guard_answers AS a
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
LEFT JOIN guard_classifiers AS c ON c.run_id = a.run_id AND c.classifier_id = 0
LEFT JOIN run_models AS r ON r.run_id = a.run_id AND r.role = v.role
LEFT JOIN models AS m USING (model_id)
WHERE runs.status = 'done';
