-- Purpose: How far the runs are that are not done, for pages that watch them.
SELECT p.run_id, p.status, r.owner, p.stage, p.done::BIGINT AS done, p.total::BIGINT AS total, p.tokens_per_second
FROM run_progress AS p JOIN runs AS r USING (run_id)
WHERE p.status <> 'done'
ORDER BY p.run_id
