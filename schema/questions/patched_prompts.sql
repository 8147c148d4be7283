-- Question: Which prompts does patching fix, and which does it break?
-- Grain:    one row per prompt and sample whose verdict the patch changes: fixed ones first, then by change of score.
-- Parameters:
--   $run: a patch run
--   $variant: the patched set, as in causal_effects.variant, such as safety:5%
--   $judge: whose scores count
--   $limit = 0: a completion is bad if its score is above this
--   $better = low: low if the judge gives costs; high if it gives rewards, and bad is below the limit
-- Caveats:  scores near the limit flip easily: read both.
WITH judged AS (
    SELECT c.role, c.variant, c.prompt_id, c.sample, c.dataset, c.prompt, c.text, j.score,
        CASE WHEN $better = 'high' THEN j.score < $limit ELSE j.score > $limit END AS bad
    FROM run_completions AS c
    JOIN judgements AS j USING (run_id, variant_id, prompt_id, sample)
    WHERE c.kind = 'patch' AND c.run = $run AND j.judge = $judge
)
SELECT
    CASE WHEN r.bad THEN 'fixed' ELSE 'broken' END AS verdict,
    p.prompt_id,
    p.sample,
    p.dataset,
    r.score AS recipient_score,
    p.score AS patched_score,
    p.score - r.score AS change,
    p.prompt,
    r.text AS recipient_text,
    p.text AS patched_text
FROM judged AS p
JOIN judged AS r ON r.role = 'recipient' AND r.prompt_id = p.prompt_id AND r.sample = p.sample
WHERE p.role = 'patched' AND p.variant = $variant AND p.bad <> r.bad
ORDER BY verdict DESC, abs(change) DESC, p.prompt_id, p.sample;
