-- Purpose: what each patched variant does to the score of each prompt: what effects are means of.
-- Grain:   one row per finished patch run, patched variant, judge and prompt with a score under recipient and variant.
-- Key:     run_id, variant_id, judge, prompt_id
-- Columns:
--   run -> runs.name: the patch run
--   variant: name of the patched variant
--   n_neurons [neurons]: size of the set
--   judge -> judges.judge: the judge
--   dataset: the data set
--   prompt_id -> run_prompts.prompt_id: what was asked
--   recipient [judge's units]: mean score of the unpatched recipient's completions
--   patched [judge's units]: that of the variant's
--   donor [judge's units]: that of the donor's; NULL without a donor
--   change [judge's units]: patched - recipient
--   gap [judge's units]: donor - recipient; NULL without a donor
--   control_of: name of the variant whose random control this is; NULL for others
--   control_kind: matched, magnitude or anywhere; NULL for variants that are no control
--   run_id -> runs.run_id: the patch run
--   variant_id -> variants.variant_id: the patched variant
-- Units:   a causal effect is the mean of change over the mean of gap, of a data set's prompts or of all.
-- Caveats: prompts that lack a score under one of the three are not here with that variant.
CREATE OR REPLACE VIEW prompt_effects AS
WITH scored AS (
    SELECT run_id, variant_id, prompt_id, judge, avg(score) AS score
    FROM judgements
    WHERE score IS NOT NULL
    GROUP BY ALL
),
unpatched AS (
    SELECT s.run_id, s.prompt_id, s.judge, v.role, s.score
    FROM scored AS s
    JOIN variants AS v USING (run_id, variant_id)
    WHERE v.role IN ('recipient', 'donor')
)
SELECT
    runs.name AS run,
    v.name AS variant,
    v.n_neurons,
    s.judge,
    p.dataset,
    s.prompt_id,
    r.score AS recipient,
    s.score AS patched,
    d.score AS donor,
    s.score - r.score AS change,
    d.score - r.score AS gap,
    controlled.name AS control_of,
    v.control_kind,
    s.run_id,
    s.variant_id
FROM scored AS s
JOIN runs ON runs.run_id = s.run_id AND runs.kind = 'patch' AND runs.status = 'done'
JOIN variants AS v ON v.run_id = s.run_id AND v.variant_id = s.variant_id AND v.role = 'patched'
JOIN prompts AS p USING (prompt_id)
JOIN unpatched AS r
    ON r.run_id = s.run_id AND r.prompt_id = s.prompt_id AND r.judge = s.judge AND r.role = 'recipient'
LEFT JOIN unpatched AS d
    ON d.run_id = s.run_id AND d.prompt_id = s.prompt_id AND d.judge = s.judge AND d.role = 'donor'
LEFT JOIN variants AS controlled ON controlled.run_id = v.run_id AND controlled.variant_id = v.control_of
WHERE d.score IS NOT NULL OR NOT EXISTS (FROM variants AS w WHERE w.run_id = s.run_id AND w.role = 'donor');
