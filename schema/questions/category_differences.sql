-- Question: Which neurons differ most between two categories of prompts?
-- Grain:    one row per neuron with kept activations, the largest absolute t first.
-- Parameters:
--   $run: a locate run that kept token activations
--   $a: a prompt category
--   $b: another one
--   $model = after: before or after, whose activations count
-- Caveats:  the prompt is the unit: its tokens are averaged first. t is Welch's over prompts, without correction for
--           the number of neurons looked at: choose neurons here, and confirm them on other prompts.
WITH by_prompt AS (
    SELECT x.layer, x.expert, x.neuron, p.category,
        avg(CASE WHEN $model = 'before' THEN x.before ELSE x.after END) AS mean
    FROM token_activations AS x
    JOIN prompts AS p USING (prompt_id)
    WHERE x.run = $run AND p.category IN ($a, $b)
    GROUP BY x.layer, x.expert, x.neuron, p.category, x.prompt_id
),
by_neuron AS (
    SELECT
        layer,
        expert,
        neuron,
        count(*) FILTER (category = $a) AS n_a,
        count(*) FILTER (category = $b) AS n_b,
        avg(mean) FILTER (category = $a) AS mean_a,
        avg(mean) FILTER (category = $b) AS mean_b,
        var_samp(mean) FILTER (category = $a) AS variance_a,
        var_samp(mean) FILTER (category = $b) AS variance_b
    FROM by_prompt
    GROUP BY layer, expert, neuron
)
SELECT
    neuron_name(layer, expert, neuron) AS name,
    layer,
    expert,
    neuron,
    n_a,
    n_b,
    mean_a,
    mean_b,
    mean_a - mean_b AS difference,
    difference / nullif(sqrt(variance_a / n_a + variance_b / n_b), 0) AS t
FROM by_neuron
WHERE n_a > 0 AND n_b > 0
ORDER BY abs(t) DESC NULLS LAST, layer, expert, neuron;
