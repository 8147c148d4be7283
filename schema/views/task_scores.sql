-- Purpose: results of tasks of the evaluation harness, each beside that of the unpatched model.
-- Grain:   one row per run, variant, name asked for, task, metric and filter.
-- Key:     run_id, variant_id, requested, task, metric, filter
-- Columns:
--   run -> runs.name: the lm-eval run
--   variant: name of the variant; recipient is the unpatched model
--   role: recipient, donor or patched
--   neurons: expression of the patched set; NULL for unpatched models
--   n_neurons [neurons]: size of the set; NULL for unpatched models
--   task: the task, or a group itself for means over its tasks
--   metric: the metric, such as acc or exact_match
--   filter: how answers were read
--   value [metric's units]: the metric
--   stderr [metric's units]: the harness's own standard error; NULL where it gives none
--   change [metric's units]: value minus that of the unpatched model; NULL where that was not tested
--   n_samples [documents]: documents that were tested; NULL for groups
--   n_shot [examples]: examples in the prompt
--   task_version: version of the task's definition
--   higher_is_better: whether more is better; NULL where the harness does not say
--   requested: the name that was asked for, of a task or of a group
--   control_of: name of the variant whose random control this is; NULL for others
--   control_seed: seed of the random control; NULL for others
--   set_id -> neuron_sets.set_id: the patched neurons; NULL for unpatched models
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: who was tested
-- Units:   those of the metric: a share for acc and exact_match.
-- Caveats: stderr is of value, not of change: both are on the same documents, whose pairs are in task_samples.
CREATE OR REPLACE VIEW task_scores AS
SELECT
    runs.name AS run,
    v.name AS variant,
    v.role,
    v.neurons,
    v.n_neurons,
    t.task,
    t.metric,
    t.filter,
    t.value,
    t.stderr,
    t.value - plain.value AS change,
    t.n_samples,
    t.n_shot,
    t.task_version,
    t.higher_is_better,
    t.requested,
    controlled.name AS control_of,
    v.control_seed,
    v.set_id,
    t.run_id,
    t.variant_id
FROM task_results AS t
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
LEFT JOIN variants AS controlled
    ON controlled.run_id = v.run_id AND controlled.variant_id = v.control_of
LEFT JOIN task_results AS plain
    ON plain.run_id = t.run_id AND plain.variant_id = 0 AND plain.requested = t.requested AND plain.task = t.task
    AND plain.metric = t.metric AND plain.filter = t.filter;
