-- Purpose: The judges, and how many scores each gave.
SELECT judge, kind, version, coalesce(settings ->> '$.higher_is', 'worse') AS higher_is,
    count(DISTINCT run_id) AS runs, count(score) AS scores, count(run_id) - count(score) AS missing
FROM judges LEFT JOIN judgements USING (judge)
GROUP BY ALL
ORDER BY judge
