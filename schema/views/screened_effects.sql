-- Purpose: what each patched set closes of the divergence, and beside it the judged effect of the same set.
-- Grain:   one row per divergence run, patched variant, data set and judge of the patch run that was read; one without
--          a judge where it has no effect of that set.
-- Key:     run_id, variant_id, dataset, judge
-- Columns:
--   run -> runs.name: the divergence run
--   variant: name of the patched variant
--   neurons: expression of the patched set
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   dataset: the data set; * for all of the run's
--   n_prompts [prompts]: prompts
--   n_tokens [tokens]: tokens that the donor wrote for them
--   kl_recipient [nats per token]: KL(donor || recipient)
--   kl_patched [nats per token]: KL(donor || patched)
--   closed [share]: 1 - kl_patched / kl_recipient; NULL where kl_recipient is about 0, and with one prompt
--   closed_ci_low [share]: lower end of its interval
--   closed_ci_high [share]: upper end of it
--   agreement_recipient [share]: tokens where recipient and donor find the same one most likely
--   agreement_patched [share]: tokens where patched model and donor do
--   n_controls [controls]: random controls of the set; NULL without any
--   controls_closed [share]: mean share that they close
--   controls_difference [share]: closed minus controls_closed
--   controls_difference_ci_low [share]: lower end of its interval
--   controls_difference_ci_high [share]: upper end of it
--   judge -> judges.judge: the judge; NULL where the set has no judged effect
--   effect [share]: causal effect under the judge; NULL where it is undefined
--   effect_ci_low [share]: lower end of its interval
--   effect_ci_high [share]: upper end of it
--   completions -> runs.name: the run whose donor completions were read
--   control_of: name of the variant whose random control this is; NULL for others
--   control_seed: seed of the random control; NULL for others
--   kl_recipient_ci_low [nats per token]: lower end of the interval of kl_recipient
--   kl_recipient_ci_high [nats per token]: upper end of it
--   kl_patched_ci_low [nats per token]: lower end of the interval of kl_patched
--   kl_patched_ci_high [nats per token]: upper end of it
--   control_kind: matched, magnitude or anywhere: kind of the controls; NULL without controls
--   confidence [share]: level of the intervals, such as 0.95
--   set_id -> neuron_sets.set_id: the patched neurons
--   run_id -> runs.run_id: the divergence run
--   variant_id -> variants.variant_id: the patched variant
-- Units:   closed is a share of the recipient's divergence, 1 = the patched model's distributions are the donor's;
--          effect is a share of the difference in judged scores. They need not agree.
-- Caveats: closed is measured on the donor's texts, token by token; what the patched model would go on to write, and
--          whether that is harmful, only the judged effect says. The patch run is the one whose settings the divergence
--          run recorded: one that replaced it is not shown.
CREATE OR REPLACE VIEW screened_effects AS
WITH judged AS (
    SELECT
        read.run_id,
        c.variant,
        c.set_id,
        c.dataset,
        c.judge,
        c.effect,
        c.ci_low,
        c.ci_high
    FROM runs AS read
    JOIN runs AS patched
        ON patched.kind = 'patch'
        AND patched.name = read.config ->> '$.completions'
        AND patched.config_sha256 = read.config ->> '$.completions_sha256'
    JOIN causal_effects AS c ON c.run_id = patched.run_id
)
SELECT
    runs.name AS run,
    v.name AS variant,
    v.neurons,
    v.n_neurons,
    v.fraction,
    d.dataset,
    d.n_prompts,
    d.n_tokens,
    d.kl_recipient,
    d.kl_patched,
    d.closed,
    d.ci_low AS closed_ci_low,
    d.ci_high AS closed_ci_high,
    d.agreement_recipient,
    d.agreement_patched,
    d.n_controls,
    d.controls_closed,
    d.controls_difference,
    d.controls_difference_ci_low,
    d.controls_difference_ci_high,
    j.judge,
    j.effect,
    j.ci_low AS effect_ci_low,
    j.ci_high AS effect_ci_high,
    runs.config ->> '$.completions' AS completions,
    controlled.name AS control_of,
    v.control_seed,
    d.kl_recipient_ci_low,
    d.kl_recipient_ci_high,
    d.kl_patched_ci_low,
    d.kl_patched_ci_high,
    d.control_kind,
    d.confidence,
    v.set_id,
    d.run_id,
    d.variant_id
FROM divergence_effects AS d
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
LEFT JOIN variants AS controlled
    ON controlled.run_id = v.run_id AND controlled.variant_id = v.control_of
LEFT JOIN judged AS j
    ON j.run_id = d.run_id AND j.variant = v.name AND j.set_id = v.set_id AND j.dataset = d.dataset;
