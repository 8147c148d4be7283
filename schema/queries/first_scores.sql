-- Purpose: All scores of the first completions that variants of a run wrote for some prompts.
SELECT j.variant_id, j.prompt_id, j.judge, j.score
FROM judgements AS j
WHERE j.run_id = $run_id AND j.sample = 0
    AND j.variant_id IN (SELECT unnest($variants::INTEGER[])) AND j.prompt_id IN (SELECT unnest($prompts::INTEGER[]))
