-- Purpose: Divergences of a run, pooled over the samples of each prompt.
SELECT p.dataset, d.prompt_id, d.variant_id, sum(d.n_tokens)::DOUBLE AS n_tokens,
    sum(d.kl ORDER BY d.sample) AS kl, sum(d.n_agreeing)::DOUBLE AS n_agreeing
FROM divergences AS d JOIN prompts AS p USING (prompt_id)
WHERE d.run_id = $run_id GROUP BY ALL ORDER BY d.prompt_id, d.variant_id
