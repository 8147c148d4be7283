-- Purpose: Completions of a run that two judges were asked about, with the verdicts of both.
SELECT a.prompt_id, a.sample, c.variant, c.role, c.dataset, c.prompt, c.text AS completion,
    a.score AS score_a, b.score AS score_b, a.label AS label_a, b.label AS label_b
FROM judgements AS a
JOIN judgements AS b USING (run_id, variant_id, prompt_id, sample)
JOIN run_completions AS c USING (run_id, variant_id, prompt_id, sample)
WHERE a.run_id = $run_id AND a.judge = $a AND b.judge = $b
ORDER BY a.variant_id, a.prompt_id, a.sample
