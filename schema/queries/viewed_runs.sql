-- Purpose: Runs as the pages of `snql view` list them, newest first; only: one of them, or NULL.
WITH chosen AS (
    SELECT * FROM runs WHERE run_id = coalesce($only, run_id)
    ORDER BY started_at DESC, run_id DESC LIMIT $most OFFSET $skipped
),
measured AS (
    SELECT run_id, count(*) AS n_effects FROM effects WHERE run_id IN (SELECT run_id FROM chosen) GROUP BY run_id
),
at_work AS (
    SELECT * FROM run_progress WHERE run_id IN (SELECT run_id FROM chosen WHERE status <> 'done')
)
SELECT
    c.run_id, c.kind, c.name, c.status, c.error, c.owner, c.device, c.finished_at,
    strftime(c.started_at, '%Y-%m-%d %H:%M') AS started_at,
    epoch(c.finished_at - c.started_at) AS seconds,
    coalesce(m.n_effects, 0) AS n_effects,
    p.stage, p.done::BIGINT AS done, p.total::BIGINT AS total, p.tokens_per_second
FROM chosen AS c
LEFT JOIN measured AS m USING (run_id)
LEFT JOIN at_work AS p USING (run_id)
ORDER BY c.started_at DESC, c.run_id DESC
