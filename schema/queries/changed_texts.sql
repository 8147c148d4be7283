-- Purpose: What a variant of a run wrote beside what its recipient wrote, prompt by prompt.
SELECT p.text AS prompt, b.text AS before, a.text AS after
FROM completions AS a
JOIN variants AS v ON v.run_id = a.run_id AND v.variant_id = a.variant_id
JOIN completions AS b
    ON b.run_id = a.run_id AND b.variant_id = $recipient AND b.prompt_id = a.prompt_id AND b.sample = a.sample
JOIN prompts AS p ON p.prompt_id = a.prompt_id
WHERE a.run_id = $run_id AND v.name = $variant
ORDER BY a.prompt_id, a.sample
