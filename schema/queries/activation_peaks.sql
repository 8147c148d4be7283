-- Purpose: The tokens where a neuron is highest, lowest and changes most, one a prompt.
--   mine: its token activations in the run.
WITH long AS (
    UNPIVOT mine ON before, after, change INTO NAME measure VALUE value
),
signed AS (
    SELECT prompt_id, position, measure, value < 0 AS lowest, abs(value) AS size FROM long WHERE value <> 0
),
of_prompts AS (
    SELECT * FROM signed
    QUALIFY row_number() OVER (PARTITION BY measure, lowest, prompt_id ORDER BY size DESC, position) = 1
)
SELECT measure, lowest, prompt_id, position FROM of_prompts
QUALIFY row_number() OVER (PARTITION BY measure, lowest ORDER BY size DESC, prompt_id) <= $most
ORDER BY measure, lowest, size DESC, prompt_id
