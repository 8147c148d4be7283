-- Purpose: the causal effect of each patched neuron set, with its interval and the means it is made of.
-- Grain:   one row per run, variant, judge and data set (dataset '*' pools all data sets of a run that has several).
-- Key:     run_id, variant_id, judge, dataset
-- Columns:
--   run -> runs.name: the patch run
--   variant: name of the patched variant
--   neurons: expression of the patched set
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   effect [share]: change over gap; NULL without a donor, and where the gap's interval covers 0
--   ci_low [share]: lower end of the effect's interval
--   ci_high [share]: upper end of the effect's interval
--   defined: whether there is an effect
--   judge -> judges.judge: the judge
--   dataset: the data set; * for all of the run's
--   n_prompts [prompts]: prompts with a score under every variant
--   mean_recipient [judge's units]: mean score of the unpatched recipient
--   mean_donor [judge's units]: mean score of the donor; NULL without a donor
--   mean_patched [judge's units]: mean score with the set patched
--   gap [judge's units]: mean_donor - mean_recipient; NULL without a donor
--   gap_ci_low [judge's units]: lower end of the gap's interval
--   gap_ci_high [judge's units]: upper end of the gap's interval
--   change [judge's units]: mean_patched - mean_recipient
--   change_ci_low [judge's units]: lower end of the change's interval
--   change_ci_high [judge's units]: upper end of the change's interval
--   control_of: name of the variant whose random control this is; NULL for others
--   control_seed: seed of the random control; NULL for others
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   set_id -> neuron_sets.set_id: the patched neurons
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: the patched variant
--   control_kind: matched, magnitude or anywhere; NULL for variants that are no control
--   controls_kind: which kind of control the set is compared with; NULL without controls
--   n_controls [controls]: random controls of that kind
--   controls_mean [judge's units]: mean score of the controls
--   controls_difference [judge's units]: mean over prompts of the set's score minus the mean of its controls
--   controls_difference_ci_low [judge's units]: lower end of its interval
--   controls_difference_ci_high [judge's units]: upper end of its interval
--   controls_effect_difference [share]: controls_difference over gap; NULL where the effect is undefined
--   controls_effect_difference_ci_low [share]: lower end of its interval
--   controls_effect_difference_ci_high [share]: upper end of its interval
--   controls_t: statistic of the paired t-test
--   controls_t_p_value [probability]: its two-sided p
--   controls_permutation_p_value [probability]: two-sided p of random sign flips of the differences
--   graded [share]: how far the set goes in log-odds where the models part; NULL where not measured or undefined
--   graded_ci_low [share]: lower end of its interval
--   graded_ci_high [share]: upper end of its interval
--   route: what chosen neurons hand on: total (the donor's activations), direct (the donor's parameters); else NULL
-- Units:   effect is a share: 1 = the set carries the whole donor-recipient difference, 0 = none of it. Means, gap
--          (donor - recipient) and change (patched - recipient) are in the judge's units.
-- Caveats: effect is NULL, and defined is false, when the interval of the gap covers 0. Rows with control_seed are
--          random controls of the variant named in control_of; control_kind is matched (as many neurons in each layer),
--          magnitude (and as large ones) or anywhere. A run without a donor has changes, but no gap and no effect.
--          controls_* compare a set with its own controls, the matched ones if it has any (docs/method.md):
--          controls_difference is patched minus the mean of the controls in the judge's units,
--          controls_effect_difference the same as a share of the gap; NULL without controls. graded is explained in
--          graded_effects: an effect under a judge is about answers that change, graded about how near they are to it.
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
    k.permutation_p_value AS controls_permutation_p_value,
    m.effect AS graded,
    m.ci_low AS graded_ci_low,
    m.ci_high AS graded_ci_high,
    coalesce(
        v.route,
        CASE coalesce(runs.config ->> '$.mode', 'donor')
            WHEN 'donor' THEN 'total'
            WHEN 'donor-weights' THEN 'direct'
        END
    ) AS route
FROM effects AS e
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
LEFT JOIN variants AS controlled
    ON controlled.run_id = v.run_id AND controlled.variant_id = v.control_of
LEFT JOIN (
    FROM control_effects
    QUALIFY row_number() OVER (PARTITION BY run_id, variant_id, judge, dataset ORDER BY control_kind DESC) = 1
) AS k
    ON k.run_id = e.run_id AND k.variant_id = e.variant_id AND k.judge = e.judge AND k.dataset = e.dataset
LEFT JOIN margin_effects AS m
    ON m.run_id = e.run_id AND m.variant_id = e.variant_id AND m.dataset = e.dataset;
