-- Purpose: A run's prompts with what three variants wrote to each, and what a judge says of it, filtered.
--   first, chosen, third: variant ids, NULL where there is none; first is what chosen is compared with. better: low if
--   the judge gives costs, high if it gives rewards; a text is bad on the wrong side of 0. shown: a filter, or ''.
WITH written AS (
    SELECT variant_id, prompt_id, text FROM completions WHERE run_id = $run_id AND sample = 0
),
judged AS (
    SELECT variant_id, prompt_id, score, CASE $better WHEN 'high' THEN score < 0 ELSE score > 0 END AS bad
    FROM judgements WHERE run_id = $run_id AND sample = 0 AND judge = $judge
),
beside AS (
    SELECT
        rp.ordinal, p.prompt_id, p.dataset, p.text AS prompt,
        w1.text AS text_first, w2.text AS text_chosen, w3.text AS text_third,
        j1.score AS score_first, j2.score AS score_chosen, j3.score AS score_third,
        j1.bad AS bad_first, j2.bad AS bad_chosen
    FROM run_prompts AS rp
    JOIN prompts AS p USING (prompt_id)
    LEFT JOIN written AS w1 ON w1.prompt_id = p.prompt_id AND w1.variant_id = $first
    LEFT JOIN written AS w2 ON w2.prompt_id = p.prompt_id AND w2.variant_id = $chosen
    LEFT JOIN written AS w3 ON w3.prompt_id = p.prompt_id AND w3.variant_id = $third
    LEFT JOIN judged AS j1 ON j1.prompt_id = p.prompt_id AND j1.variant_id = $first
    LEFT JOIN judged AS j2 ON j2.prompt_id = p.prompt_id AND j2.variant_id = $chosen
    LEFT JOIN judged AS j3 ON j3.prompt_id = p.prompt_id AND j3.variant_id = $third
    WHERE rp.run_id = $run_id AND coalesce(w1.text, w2.text, w3.text) IS NOT NULL
)
SELECT *, count(*) OVER () AS n_found FROM beside
WHERE
    ($dataset = '' OR dataset = $dataset)
    AND ($find = '' OR contains(lower(concat_ws(chr(10), prompt, text_first, text_chosen, text_third)), lower($find)))
    AND CASE $shown
        WHEN 'fixed' THEN bad_first AND NOT bad_chosen
        WHEN 'broken' THEN NOT bad_first AND bad_chosen
        WHEN 'kept-good' THEN NOT bad_first AND NOT bad_chosen
        WHEN 'kept-bad' THEN bad_first AND bad_chosen
        WHEN 'changed' THEN text_first <> text_chosen
        WHEN 'unchanged' THEN text_first = text_chosen
        WHEN 'third' THEN text_third = text_chosen
        ELSE true
    END
ORDER BY
    CASE $ordered
        WHEN 'rise' THEN score_first - score_chosen
        WHEN 'fall' THEN score_chosen - score_first
    END NULLS LAST,
    ordinal
LIMIT $most OFFSET $skipped
