-- Purpose: The scored tokens around some positions, with the activations of one neuron.
--   mine: its token activations in the run.
WITH spots AS (
    SELECT unnest($prompts::INTEGER[]) AS prompt_id, unnest($positions::INTEGER[]) AS at
),
here AS (
    SELECT * FROM scored_tokens WHERE run_id = $run_id AND prompt_id IN (SELECT prompt_id FROM spots)
)
SELECT s.prompt_id, s.at, t.position, t.token, m.before, m.after
FROM spots AS s
JOIN here AS t ON t.prompt_id = s.prompt_id AND t.position BETWEEN s.at - $context AND s.at + $context
LEFT JOIN mine AS m ON m.prompt_id = t.prompt_id AND m.position = t.position
ORDER BY s.prompt_id, s.at, t.position
