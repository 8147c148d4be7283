-- Purpose: The judges of a run, in its order, and whether low or high scores are better.
SELECT j.judge, CASE WHEN k.settings ->> '$.higher_is' = 'better' THEN 'high' ELSE 'low' END AS better
FROM (SELECT DISTINCT judge FROM judgements WHERE run_id = $run_id) AS j
LEFT JOIN judges AS k USING (judge)
LEFT JOIN figure_judges AS f ON f.run_id = $run_id AND f.judge = j.judge
ORDER BY f.position NULLS LAST, j.judge
