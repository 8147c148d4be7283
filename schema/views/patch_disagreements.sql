-- Purpose: how often a neuron set changes what is written, and how often the result is what the donor would write.
-- Grain:   one row per patch run, patched variant and data set.
-- Key:     run_id, variant_id, dataset
-- Columns:
--   run -> runs.name: the patch run
--   variant: name of the patched variant
--   dataset: the data set
--   n_completions [completions]: completions of the variant
--   n_steps [steps]: tokens that were written
--   changed_steps [share]: steps that the patch changed, of those where that was asked
--   changed_completions [share]: completions with a changed step, of those where that was asked
--   first_changed [steps]: mean step of the first changed token, from 1; NULL where none changed
--   donor_steps [share]: steps whose token is the donor's, of those where that was asked
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: the patched variant
-- Units:   shares of steps (tokens) and of completions; first_changed is the mean step of the first changed token, over
--          the completions that have one.
-- Caveats: as in patch_steps. Steps of long completions weigh more than those of short ones. NULL where nothing was
--          asked.
CREATE OR REPLACE VIEW patch_disagreements AS
WITH by_completion AS (
    SELECT
        run_id, run, variant_id, variant, dataset, prompt_id, sample,
        count(*) AS n_steps,
        count(*) FILTER (changed) AS n_changed,
        count(changed) AS n_asked,
        count(*) FILTER (agrees) AS n_agreeing,
        count(agrees) AS n_donor_asked,
        min(step) FILTER (changed) AS first_changed
    FROM patch_steps
    GROUP BY ALL
)
SELECT
    run,
    variant,
    dataset,
    count(*) AS n_completions,
    sum(n_steps)::BIGINT AS n_steps,
    sum(n_changed) / nullif(sum(n_asked), 0) AS changed_steps,
    count(*) FILTER (n_changed > 0) / nullif(count(*) FILTER (n_asked > 0), 0) AS changed_completions,
    avg(first_changed) AS first_changed,
    sum(n_agreeing) / nullif(sum(n_donor_asked), 0) AS donor_steps,
    run_id,
    variant_id
FROM by_completion
GROUP BY ALL;
