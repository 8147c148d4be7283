-- Purpose: The first prompts of a run: of each data set in turn, so that all are there when not all prompts are.
WITH placed AS (
    SELECT
        p.prompt_id, p.dataset, p.text, rp.ordinal,
        row_number() OVER (PARTITION BY p.dataset ORDER BY rp.ordinal) AS place
    FROM run_prompts AS rp JOIN prompts AS p USING (prompt_id)
    WHERE rp.run_id = $run_id AND prompt_id IN (SELECT prompt_id FROM completions WHERE run_id = $run_id)
),
chosen AS (
    SELECT * FROM placed ORDER BY place, ordinal LIMIT $most
)
SELECT prompt_id, dataset, text FROM chosen ORDER BY ordinal
