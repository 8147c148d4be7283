-- Question: Which tokens drive a neuron most?
-- Grain:    one row per token text, the largest mean absolute activation of the chosen model first.
-- Parameters:
--   $run: a locate run that kept the neuron's activations
--   $layer: its layer
--   $neuron: its number in the layer
--   $model = after: before or after, whose activations count
--   $least = 1: leave out tokens that occur less often
-- Caveats:  neurons of a mixture of experts are counted over all experts of that number.
SELECT
    token,
    count(*) AS n,
    avg(CASE WHEN $model = 'before' THEN abs(before) ELSE abs(after) END) AS mean_size,
    avg(before) AS mean_before,
    avg(after) AS mean_after,
    avg(after - before) AS mean_difference,
    stddev_samp(after - before) AS std_difference
FROM token_activations
WHERE run = $run AND layer = $layer AND neuron = $neuron
GROUP BY token
HAVING count(*) >= $least
ORDER BY mean_size DESC, token;
