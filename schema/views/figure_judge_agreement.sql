-- Purpose: what two judges say of the same completions: the chart `judges`.
-- Grain:   one row per finished run, pair of its judges, and completion that both scored (the first sample), of
--          recipient, donor, the writer of a locate run, and the main set of each series of a patch run.
-- Key:     run_id, judge_a, judge_b, variant_id, prompt_id
-- Columns:
--   run -> runs.name: the run
--   judge_a -> judges.judge: the judge that comes first in the run
--   judge_b -> judges.judge: the other one
--   role: who wrote: before, after, recipient, donor or patched
--   variant: name of the variant
--   prompt_id -> prompts.prompt_id: what was asked
--   score_a [judge's units]: score by judge_a
--   score_b [judge's units]: score by judge_b
--   higher_is_a: whether a high score by judge_a is worse (a cost) or better (a reward)
--   higher_is_b: the same of judge_b
--   bad_a: whether judge_a calls the completion bad: a cost above 0, or a reward below 0
--   bad_b: the same of judge_b
--   kind: kind of the run: locate or patch
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: who wrote
-- Units:   scores are each judge's own.
-- Caveats: completions that one of the two gave no score are not here. 0 is the limit of cost models; for a judge whose
--          scores have another one, use `snql judges compare --limits`.
CREATE OR REPLACE VIEW figure_judge_agreement AS
WITH headlines AS (
    SELECT DISTINCT run_id, variant_id FROM figure_effects WHERE headline
),
writers AS (
    SELECT v.run_id, v.variant_id, v.role, v.name
    FROM variants AS v
    LEFT JOIN headlines AS h USING (run_id, variant_id)
    WHERE v.role <> 'patched' OR h.variant_id IS NOT NULL
),
pairs AS (
    SELECT a.run_id, a.run, a.judge AS judge_a, b.judge AS judge_b,
        coalesce(ja.settings ->> '$.higher_is', 'worse') AS higher_is_a,
        coalesce(jb.settings ->> '$.higher_is', 'worse') AS higher_is_b
    FROM figure_judges AS a
    JOIN figure_judges AS b ON b.run_id = a.run_id AND b.position > a.position
    LEFT JOIN judges AS ja ON ja.judge = a.judge
    LEFT JOIN judges AS jb ON jb.judge = b.judge
)
SELECT
    p.run,
    p.judge_a,
    p.judge_b,
    w.role,
    w.name AS variant,
    a.prompt_id,
    a.score AS score_a,
    b.score AS score_b,
    p.higher_is_a,
    p.higher_is_b,
    CASE WHEN p.higher_is_a = 'better' THEN a.score < 0 ELSE a.score > 0 END AS bad_a,
    CASE WHEN p.higher_is_b = 'better' THEN b.score < 0 ELSE b.score > 0 END AS bad_b,
    runs.kind,
    p.run_id,
    w.variant_id
FROM pairs AS p
JOIN runs USING (run_id)
JOIN writers AS w USING (run_id)
JOIN judgements AS a
    ON a.run_id = p.run_id AND a.variant_id = w.variant_id AND a.judge = p.judge_a AND a.sample = 0
JOIN judgements AS b
    ON b.run_id = p.run_id AND b.variant_id = w.variant_id AND b.judge = p.judge_b AND b.prompt_id = a.prompt_id
    AND b.sample = 0
WHERE a.score IS NOT NULL AND b.score IS NOT NULL;
