-- Purpose: Completions of a run that a judge has not scored.
SELECT c.variant_id, c.prompt_id, c.sample, p.text AS prompt, c.text AS completion
FROM completions AS c JOIN prompts AS p USING (prompt_id)
WHERE c.run_id = $run_id AND NOT EXISTS (
    FROM judgements AS j
    WHERE j.run_id = c.run_id AND j.variant_id = c.variant_id AND j.prompt_id = c.prompt_id
    AND j.sample = c.sample AND j.judge = $judge
)
ORDER BY c.variant_id, c.prompt_id, c.sample
