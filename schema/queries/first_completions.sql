-- Purpose: The first completions that variants of a run wrote for some prompts.
SELECT c.variant_id, c.prompt_id, c.text
FROM completions AS c
WHERE c.run_id = $run_id AND c.sample = 0
    AND c.variant_id IN (SELECT unnest($variants::INTEGER[])) AND c.prompt_id IN (SELECT unnest($prompts::INTEGER[]))
