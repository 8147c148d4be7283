-- Purpose: The text before the scored tokens of some prompts of a run.
--   first, last: positions; tail: the text of the prompt's tokens that are scored, which its text ends with.
WITH wanted AS (SELECT DISTINCT unnest($prompts::INTEGER[]) AS prompt_id),
bounds AS (
    SELECT prompt_id, min(position) AS first, max(position) AS last
    FROM scored_tokens SEMI JOIN wanted USING (prompt_id) WHERE run_id = $run_id GROUP BY prompt_id
),
given AS (
    SELECT prompt_id, formatted, len(input_ids) AS n_prompt
    FROM run_prompts SEMI JOIN wanted USING (prompt_id) WHERE run_id = $run_id
),
tails AS (
    SELECT t.prompt_id, string_agg(t.token, '' ORDER BY t.position) AS tail
    FROM scored_tokens AS t JOIN given AS g USING (prompt_id) JOIN bounds AS b USING (prompt_id)
    WHERE t.run_id = $run_id AND b.first > 0 AND t.position < g.n_prompt GROUP BY t.prompt_id
)
SELECT
    b.prompt_id, coalesce(p.dataset, '') AS dataset, b.first, b.last,
    coalesce(g.formatted, p.text, '') AS text, coalesce(t.tail, '') AS tail
FROM bounds AS b
LEFT JOIN prompts AS p USING (prompt_id)
LEFT JOIN given AS g USING (prompt_id)
LEFT JOIN tails AS t USING (prompt_id)
