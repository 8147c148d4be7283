-- Purpose: All runs, with how far those are that are not done.
SELECT r.kind, r.name, r.status, r.started_at, p.seconds,
    CASE WHEN r.status <> 'done' THEN p.stage || ' ' || p.done || '/' || p.total END AS progress,
    CASE WHEN r.config ->> '$.imported' IS NOT NULL THEN r.config ->> '$.file' END AS imported,
    r.device, r.dtype, r.seed, r.error, r.snql_version, r.notes
FROM runs AS r JOIN run_progress AS p USING (run_id) ORDER BY r.started_at, r.run_id
