-- Purpose: the causal effect of each patched neuron set, with its interval and the means it is made of.
-- Grain:   one row per run, variant, judge and data set (dataset '*' pools all data sets of a run that has several).
-- Units:   effect is a share: 1 = the set carries the whole donor-recipient difference, 0 = none of it. Means, gap
--          (donor - recipient) and change (patched - recipient) are in the judge's units.
-- Caveats: effect is NULL, and defined is false, when the interval of the gap covers 0. Rows with control_seed are
--          random controls of the variant named in control_of; control_kind is matched (as many neurons in each layer)
--          or anywhere. A run without a donor has changes, but no gap and no effect. controls_* compare a set with its
--          own controls, the matched ones if it has any (docs/method.md): controls_difference is patched minus the mean of
--          the controls in the judge's units, controls_effect_difference the same as a share of the gap; NULL without
--          controls.
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
    e.variant_id,
    v.control_kind,
    k.control_kind AS controls_kind,
    k.n_controls,
    k.mean_controls AS controls_mean,
    k.difference AS controls_difference,
    k.difference_ci_low AS controls_difference_ci_low,
    k.difference_ci_high AS controls_difference_ci_high,
    k.effect_difference AS controls_effect_difference,
    k.effect_difference_ci_low AS controls_effect_difference_ci_low,
    k.effect_difference_ci_high AS controls_effect_difference_ci_high,
    k.t AS controls_t,
    k.t_p_value AS controls_t_p_value,
    k.permutation_p_value AS controls_permutation_p_value
FROM effects AS e
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
LEFT JOIN variants AS controlled
    ON controlled.run_id = v.run_id AND controlled.variant_id = v.control_of
LEFT JOIN (
    FROM control_effects
    QUALIFY row_number() OVER (PARTITION BY run_id, variant_id, judge, dataset ORDER BY control_kind DESC) = 1
) AS k
    ON k.run_id = e.run_id AND k.variant_id = e.variant_id AND k.judge = e.judge AND k.dataset = e.dataset;
