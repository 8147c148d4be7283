-- Purpose: how often patching changes the token that is written, step by step, and how often the donor would write it
--          too: the chart `trace`.
-- Grain:   one row per run, main set (the headline of figure_sets, and its matched random controls together) and step.
-- Key:     run, variant, kind, step
-- Columns:
--   run -> runs.name: the patch run
--   variant: name of the patched set, or of the set controlled
--   kind: set or controls
--   step [steps]: number of the token in the completion, from 1
--   n_completions [completions]: completions that reach this step
--   n_asked [completions]: those for which the unpatched model was asked too
--   n_changed [completions]: those whose token is not the unpatched model's
--   changed [share]: n_changed over n_asked; NULL if nothing was asked
--   changed_ci_low [share]: lower end of its Wilson interval
--   changed_ci_high [share]: upper end of its Wilson interval
--   n_donor_asked [completions]: those for which the donor was asked too
--   agrees [share]: those of them whose token is the donor's; NULL if nothing was asked
--   mode: what chosen neurons become, such as donor or zero
--   frozen: whether the donor writes, with neurons of the recipient: then the donor's choice is the recipient's
--   confidence [share]: level of the intervals, 0.95
-- Units:   shares of the completions that reach the step.
-- Caveats: as in patch_steps. All on the text that the patched model wrote: a change at one step is in the text of all
--          later ones. Late steps have few completions: see n_completions. Completions of one prompt depend on each
--          other, which the intervals do not know.
CREATE OR REPLACE VIEW figure_trace AS
WITH shown AS (
    SELECT s.run, s.variant, 'set' AS kind, s.mode, s.frozen, s.run_id, s.variant_id
    FROM figure_sets AS s
    WHERE s.headline
    UNION ALL
    SELECT s.run, s.variant, 'controls' AS kind, s.mode, s.frozen, v.run_id, v.variant_id
    FROM figure_sets AS s
    JOIN variants AS v ON v.run_id = s.run_id AND v.control_of = s.variant_id
    WHERE s.headline AND v.control_kind = 'matched'
),
written AS (
    SELECT
        shown.run,
        shown.variant,
        shown.kind,
        shown.mode,
        shown.frozen,
        unnest(range(1, len(c.token_ids) + 1))::INTEGER AS step,
        unnest(c.token_ids) AS token_id,
        unnest(coalesce(c.unpatched_ids, list_transform(c.token_ids, lambda t: NULL::INTEGER))) AS unpatched_id,
        unnest(coalesce(c.donor_ids, list_transform(c.token_ids, lambda t: NULL::INTEGER))) AS donor_id
    FROM completions AS c
    JOIN shown USING (run_id, variant_id)
    WHERE c.unpatched_ids IS NOT NULL OR c.donor_ids IS NOT NULL
),
counted AS (
    SELECT
        run,
        variant,
        kind,
        step,
        any_value(mode) AS mode,
        any_value(frozen) AS frozen,
        count(*) AS n_completions,
        count(unpatched_id) AS n_asked,
        count(*) FILTER (token_id <> unpatched_id) AS n_changed,
        n_changed / nullif(n_asked, 0) AS changed,
        count(donor_id) AS n_donor_asked,
        count(*) FILTER (token_id = donor_id) / nullif(count(donor_id), 0) AS agrees
    FROM written
    GROUP BY run, variant, kind, step
)
SELECT
    run,
    variant,
    kind,
    step,
    n_completions,
    n_asked,
    n_changed,
    changed,
    wilson_interval(n_changed, n_asked).low AS changed_ci_low,
    wilson_interval(n_changed, n_asked).high AS changed_ci_high,
    n_donor_asked,
    agrees,
    mode,
    frozen,
    0.95::DOUBLE AS confidence
FROM counted;
