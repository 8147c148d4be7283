-- Purpose: the causal effect of each patched neuron set, with its interval and the means it is made of.
-- Grain:   one row per run, variant, judge and data set (dataset '*' pools all data sets of a run that has several).
-- Units:   effect is a share: 1 = the set carries the whole donor-recipient difference, 0 = none of it. Means, gap
--          (donor - recipient) and change (patched - recipient) are in the judge's units.
-- Caveats: effect is NULL, and defined is false, when the interval of the gap covers 0. Rows with control_seed are
--          random controls of the variant named in control_of.
CREATE OR REPLACE VIEW causal_effects AS
SELECT
    runs.name AS run,
    v.name AS variant,
    v.neurons,
    v.n_neurons,
    v.fraction,
    e.effect,
    e.ci_low,
    e.ci_high,
    e.effect IS NOT NULL AS defined,
    e.judge,
    e.dataset,
    e.n_prompts,
    e.mean_recipient,
    e.mean_donor,
    e.mean_patched,
    e.gap,
    e.gap_ci_low,
    e.gap_ci_high,
    e.change,
    e.change_ci_low,
    e.change_ci_high,
    controlled.name AS control_of,
    v.control_seed,
    e.confidence,
    e.resamples,
    e.seed,
    v.set_id,
    e.run_id,
    e.variant_id
FROM effects AS e
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
LEFT JOIN variants AS controlled
    ON controlled.run_id = v.run_id AND controlled.variant_id = v.control_of;
