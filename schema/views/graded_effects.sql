-- Purpose: how far each patched set goes from recipient to donor in log-odds, and beside it the judged effect.
-- Grain:   one row per patch run, patched variant, data set and judge; one without a judge where none has an effect.
-- Key:     run_id, variant_id, dataset, judge
-- Columns:
--   run -> runs.name: the patch run
--   variant: name of the patched variant
--   neurons: expression of the patched set
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   dataset: the data set; * for all of the run's
--   graded [share]: mean change of the margin over the mean gap; NULL where the gap's interval covers 0
--   graded_ci_low [share]: lower end of its interval
--   graded_ci_high [share]: upper end of its interval
--   crossed [share]: prompts where the patched variant finds the donor's token likelier than the recipient's
--   judge -> judges.judge: the judge; NULL where the set has no judged effect
--   effect [share]: causal effect under the judge; NULL where it is undefined
--   effect_ci_low [share]: lower end of its interval
--   effect_ci_high [share]: upper end of its interval
--   n_prompts [prompts]: prompts on which recipient and donor part
--   n_same [prompts]: those on which they write the same
--   mean_recipient [nats]: mean margin of the unpatched recipient
--   mean_patched [nats]: mean margin with the set patched
--   mean_donor [nats]: mean margin of the donor
--   n_controls [controls]: random controls of the set; NULL without any
--   controls_kind: which kind of control the set is compared with; NULL without controls
--   controls_difference [share]: the set's change over that of its controls, as a share of the gap
--   controls_difference_ci_low [share]: lower end of its interval
--   controls_difference_ci_high [share]: upper end of its interval
--   controls_p_value [probability]: two-sided p of random sign flips of the differences
--   control_of: name of the variant whose random control this is; NULL for others
--   control_seed: seed of the random control; NULL for others
--   control_kind: matched, magnitude or anywhere; NULL for variants that are no control
--   confidence [share]: level of the intervals, such as 0.95
--   set_id -> neuron_sets.set_id: the patched neurons
--   run_id -> runs.run_id: the patch run
--   variant_id -> variants.variant_id: the patched variant
-- Units:   a margin is the log-odds, in nats, of the donor's token against the recipient's at the first step where the
--          two unpatched models' greedy texts differ, after the text up to there. graded and effect are shares: 1 = all
--          of the way from recipient to donor, 0 = none of it.
-- Caveats: the two shares need not agree: a judge sees an answer change only where a margin crosses 0, so that a set
--          which goes less than half of the way may change no answer, or most. Greedy runs with a donor only.
CREATE OR REPLACE VIEW graded_effects AS
SELECT
    runs.name AS run,
    v.name AS variant,
    v.neurons,
    v.n_neurons,
    v.fraction,
    m.dataset,
    m.effect AS graded,
    m.ci_low AS graded_ci_low,
    m.ci_high AS graded_ci_high,
    m.n_crossed / m.n_prompts AS crossed,
    e.judge,
    e.effect,
    e.ci_low AS effect_ci_low,
    e.ci_high AS effect_ci_high,
    m.n_prompts,
    m.n_same,
    m.mean_recipient,
    m.mean_patched,
    m.mean_donor,
    m.n_controls,
    m.control_kind AS controls_kind,
    m.controls_difference,
    m.controls_difference_ci_low,
    m.controls_difference_ci_high,
    m.controls_p_value,
    controlled.name AS control_of,
    v.control_seed,
    v.control_kind,
    m.confidence,
    v.set_id,
    m.run_id,
    m.variant_id
FROM margin_effects AS m
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
LEFT JOIN variants AS controlled
    ON controlled.run_id = v.run_id AND controlled.variant_id = v.control_of
LEFT JOIN effects AS e
    ON e.run_id = m.run_id AND e.variant_id = m.variant_id AND e.dataset = m.dataset;
