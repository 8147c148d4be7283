-- Purpose: How many effects of a patch run have other means or numbers of prompts than its judgements give.
WITH means AS (
    SELECT
        variant_id,
        judge,
        coalesce(dataset, '*') AS dataset,
        count(*) AS n,
        avg(recipient) AS recipient,
        avg(patched) AS patched,
        avg(donor) AS donor
    FROM prompt_effects
    WHERE run_id = $run_id
    GROUP BY GROUPING SETS ((variant_id, judge, dataset), (variant_id, judge))
),
differences AS (
    SELECT
        m.n IS DISTINCT FROM e.n_prompts AS other_prompts,
        [abs(m.recipient - e.mean_recipient), abs(m.patched - e.mean_patched), abs(m.donor - e.mean_donor)] AS apart,
        greatest(1, abs(e.mean_recipient), abs(e.mean_patched), abs(e.mean_donor)) AS size
    FROM effects AS e
    LEFT JOIN means AS m USING (variant_id, judge, dataset)
    WHERE e.run_id = $run_id
)
SELECT count(*) FROM differences WHERE other_prompts OR list_max(apart) > 1e-6 * size
