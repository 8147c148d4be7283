-- Purpose: A judge's mean score over the samples of each prompt and variant of a run.
SELECT p.dataset, j.prompt_id, j.variant_id, avg(j.score ORDER BY j.sample) AS score
FROM judgements AS j JOIN prompts AS p USING (prompt_id)
WHERE j.run_id = $run_id AND j.judge = $judge
GROUP BY ALL
ORDER BY j.prompt_id, j.variant_id
