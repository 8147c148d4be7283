-- Purpose: How long the prompts of a run and what was written for them are, in tokens.
SELECT p.prompt_id, len(p.input_ids)::INTEGER AS n_prompt,
    coalesce(len(c.token_ids), 0)::INTEGER AS n_completion, c.token_ids[-1] AS last_id
FROM run_prompts AS p LEFT JOIN completions AS c USING (run_id, prompt_id)
WHERE p.run_id = $run_id ORDER BY p.prompt_id
