-- Purpose: A neuron's token activations in bins of one width.
--   mine: its token activations in the run.
WITH long AS (
    SELECT 'before' AS side, before AS value FROM mine
    UNION ALL SELECT 'after', after FROM mine
)
SELECT side, least(floor((value - $low) / $width), $n_bins - 1)::INTEGER AS bin, count(*) AS n
FROM long GROUP BY ALL
