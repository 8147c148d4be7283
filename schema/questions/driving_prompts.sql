-- Question: Which prompts drive a neuron most?
-- Grain:    one row per prompt, the largest root mean square difference between the models first.
-- Parameters:
--   $run: a locate run that kept the neuron's activations
--   $layer: its layer
--   $neuron: its number in the layer
-- Caveats:  neurons of a mixture of experts are counted over all experts of that number.
SELECT
    a.prompt_id,
    p.dataset,
    p.category,
    count(*) AS n_tokens,
    sqrt(avg(pow(a.after::DOUBLE - a.before, 2))) AS change_score,
    avg(a.before) AS mean_before,
    avg(a.after) AS mean_after,
    any_value(p.text) AS prompt
FROM token_activations AS a
JOIN prompts AS p USING (prompt_id)
WHERE a.run = $run AND a.layer = $layer AND a.neuron = $neuron
GROUP BY a.prompt_id, p.dataset, p.category
ORDER BY change_score DESC, a.prompt_id;
