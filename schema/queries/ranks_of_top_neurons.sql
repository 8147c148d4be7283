-- Purpose: Ranks in the runs to compare of neurons that are first in some runs.
WITH top AS (
    SELECT DISTINCT layer, expert, neuron FROM neuron_scores
    WHERE run_id IN (SELECT unnest($runs::INTEGER[])) AND rank <= $most
)
SELECT s.run_id, s.layer, s.expert, s.neuron, s.rank
FROM neuron_scores AS s
SEMI JOIN top AS t
    ON s.layer = t.layer AND s.neuron = t.neuron AND s.expert IS NOT DISTINCT FROM t.expert
WHERE s.run_id IN (SELECT unnest($compared::INTEGER[])) AND s.rank IS NOT NULL
