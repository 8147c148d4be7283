-- Purpose: what models and patches can do besides: perplexities, tasks, and judged scores of the same sets.
-- Grain:   one row per finished run, unpatched model or patched set (no random controls), and test.
-- Key:     run_id, variant_id, measure, test, filter
-- Columns:
--   run -> runs.name: the run that measured
--   part: text (a perplexity run), task (an lm-eval run) or judge (a patch run)
--   model: spec of the model that is measured or patched
--   donor: spec of the donor; NULL without a donor
--   mode: what chosen neurons become, such as donor or zero
--   variant: name of the variant
--   role: recipient, donor or patched
--   neurons: expression of the patched set; NULL for unpatched models
--   n_neurons [neurons]: size of the set; NULL for unpatched models
--   measure: perplexity, the task's metric, or the judge
--   test: the text, the task, or the data set; * for all texts, or all data sets, of the run
--   filter: how a task's answers were read; none for others
--   value [measure's units]: the measure
--   ci_low [measure's units]: lower end of its interval; NULL for tasks and judges
--   ci_high [measure's units]: upper end of it
--   stderr [measure's units]: standard error; NULL for texts and judges
--   ratio: perplexity over that of the unpatched model; NULL for others
--   ratio_ci_low: lower end of its interval
--   ratio_ci_high: upper end of it
--   change [measure's units]: value minus that of the unpatched model; NULL for texts and unpatched models
--   change_ci_low [measure's units]: lower end of its interval; NULL for tasks
--   change_ci_high [measure's units]: upper end of it
--   n: scored tokens, tested documents or prompts with a score; NULL for groups of tasks
--   confidence [share]: level of the intervals, such as 0.95; NULL for tasks
--   resamples: bootstrap resamples; NULL for tasks
--   seed: seed of the bootstrap; NULL for tasks
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: who was measured
-- Units:   perplexity is per token of the model's tokenizer; scores are in the judge's units.
-- Caveats: of patch runs only those sets are here that a perplexity or lm-eval run has measured with the same models
--          and mode, and the run's unpatched models; frozen sets are not. Specs are compared as they were written. A
--          task that was asked for twice, alone and with its group, is here once.
CREATE OR REPLACE VIEW figure_capability AS
WITH subjects AS (
    SELECT
        runs.run_id,
        runs.name AS run,
        coalesce(runs.config ->> '$.model', runs.config ->> '$.recipient') AS model,
        runs.config ->> '$.donor' AS donor,
        coalesce(runs.config ->> '$.mode', 'donor') AS mode,
        coalesce(runs.config ->> '$.freeze' = 'true', false) AS frozen,
        v.variant_id,
        v.name AS variant,
        v.role,
        v.neurons,
        v.n_neurons
    FROM variants AS v
    JOIN runs USING (run_id)
    WHERE runs.status = 'done' AND v.control_of IS NULL
),
texts AS (
    SELECT
        run_id, variant_id, 'text' AS part, 'perplexity' AS measure, dataset AS test, 'none' AS filter,
        perplexity AS value, ci_low, ci_high, NULL::DOUBLE AS stderr, ratio, ratio_ci_low, ratio_ci_high,
        NULL::DOUBLE AS change, NULL::DOUBLE AS change_ci_low, NULL::DOUBLE AS change_ci_high,
        n_tokens::BIGINT AS n, confidence, resamples, seed
    FROM perplexities
),
tasks AS (
    SELECT
        run_id, variant_id, 'task' AS part, metric AS measure, task AS test, filter, value,
        NULL::DOUBLE AS ci_low, NULL::DOUBLE AS ci_high, stderr,
        NULL::DOUBLE AS ratio, NULL::DOUBLE AS ratio_ci_low, NULL::DOUBLE AS ratio_ci_high,
        CASE WHEN role <> 'recipient' THEN change END AS change, NULL::DOUBLE AS change_ci_low,
        NULL::DOUBLE AS change_ci_high, n_samples::BIGINT AS n, NULL::DOUBLE AS confidence, NULL::INTEGER AS resamples,
        NULL::BIGINT AS seed
    FROM task_scores
    QUALIFY row_number() OVER (PARTITION BY run_id, variant_id, task, metric, filter ORDER BY requested) = 1
),
measured AS (
    FROM texts UNION ALL FROM tasks
),
matched AS (
    SELECT s.run_id, s.variant_id
    FROM subjects AS s
    WHERE s.role = 'patched' AND NOT s.frozen AND EXISTS (
        FROM measured JOIN subjects AS m USING (run_id, variant_id)
        WHERE m.model = s.model AND m.donor IS NOT DISTINCT FROM s.donor AND m.mode = s.mode AND m.neurons = s.neurons
    )
),
effects_of_matched AS (
    FROM effects SEMI JOIN matched USING (run_id, variant_id)
),
judged AS (
    SELECT
        run_id, variant_id, judge, dataset, mean_patched AS value, change, change_ci_low, change_ci_high, n_prompts,
        confidence, resamples, seed
    FROM effects_of_matched
    UNION ALL
    SELECT
        v.run_id, v.variant_id, e.judge, e.dataset,
        first(CASE v.role WHEN 'donor' THEN e.mean_donor ELSE e.mean_recipient END ORDER BY e.variant_id) AS value,
        first(CASE v.role WHEN 'donor' THEN e.gap END ORDER BY e.variant_id) AS change,
        first(CASE v.role WHEN 'donor' THEN e.gap_ci_low END ORDER BY e.variant_id) AS change_ci_low,
        first(CASE v.role WHEN 'donor' THEN e.gap_ci_high END ORDER BY e.variant_id) AS change_ci_high,
        first(e.n_prompts ORDER BY e.variant_id) AS n_prompts,
        any_value(e.confidence) AS confidence, any_value(e.resamples) AS resamples, any_value(e.seed) AS seed
    FROM effects_of_matched AS e
    JOIN variants AS v ON v.run_id = e.run_id AND v.role IN ('recipient', 'donor')
    GROUP BY v.run_id, v.variant_id, e.judge, e.dataset
),
tested AS (
    FROM measured
    UNION ALL
    SELECT
        run_id, variant_id, 'judge' AS part, judge AS measure, dataset AS test, 'none' AS filter, value,
        NULL::DOUBLE AS ci_low, NULL::DOUBLE AS ci_high, NULL::DOUBLE AS stderr,
        NULL::DOUBLE AS ratio, NULL::DOUBLE AS ratio_ci_low, NULL::DOUBLE AS ratio_ci_high,
        change, change_ci_low, change_ci_high, n_prompts::BIGINT AS n, confidence, resamples, seed
    FROM judged
)
SELECT
    s.run,
    t.part,
    s.model,
    s.donor,
    s.mode,
    s.variant,
    s.role,
    s.neurons,
    s.n_neurons,
    t.measure,
    t.test,
    t.filter,
    t.value,
    t.ci_low,
    t.ci_high,
    t.stderr,
    t.ratio,
    t.ratio_ci_low,
    t.ratio_ci_high,
    t.change,
    t.change_ci_low,
    t.change_ci_high,
    t.n,
    t.confidence,
    t.resamples,
    t.seed,
    s.run_id,
    s.variant_id
FROM tested AS t
JOIN subjects AS s USING (run_id, variant_id);
