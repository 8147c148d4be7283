-- Purpose: How many prompts a locate run has, how many completions, and whether it has one for each.
SELECT (SELECT count(*) FROM run_prompts WHERE run_id = $run_id),
    (SELECT count(*) FROM completions WHERE run_id = $run_id),
    (
        SELECT config ->> '$.positions' IN ('generating', 'generated') AND config ->> '$.from_run' IS NULL
        FROM runs WHERE run_id = $run_id
    )
