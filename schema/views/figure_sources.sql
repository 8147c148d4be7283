-- Purpose: effects of sets that are a part of one run's ranking, with how that run located them: what charts of
--          sources, windows and ways of locating are made of.
-- Grain:   one row per patched set written RUN:AMOUNT (a window too), judge and data set.
-- Key:     run_id, variant_id, judge, dataset
-- Columns:
--   run -> runs.name: the patch run
--   variant: name of the patched set
--   source -> runs.name: locate run whose ranking the set is a part of
--   low: where the part begins, the rank before its first; 0 for the top of the ranking
--   high: where the part ends
--   in_percent: whether low and high are percentages of the ranked neurons, not ranks
--   is_window: whether the part is written as a window, such as safety:5%..10%
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   recipient: spec of the recipient
--   donor: spec of the donor
--   setup: hash of the prompts and of all settings but the patched sets: equal where effects can be compared
--   judge -> judges.judge: the judge
--   dataset: the data set; * for all of the run's
--   n_prompts [prompts]: prompts with a score under every variant
--   effect [share]: causal effect; NULL where it is undefined
--   ci_low [share]: lower end of the effect's interval
--   ci_high [share]: upper end of the effect's interval
--   defined: whether there is an effect
--   mean_recipient [judge's units]: mean score of the unpatched recipient
--   mean_patched [judge's units]: mean score with the set patched
--   mean_donor [judge's units]: mean score of the donor
--   change_ci_low [judge's units]: lower end of the interval of patched less recipient
--   change_ci_high [judge's units]: upper end of the interval of patched less recipient
--   n_controls [controls]: matched random controls
--   control_mean [share]: mean effect of the controls
--   control_min [share]: lowest effect of the controls
--   control_max [share]: highest effect of the controls
--   controls_p_value [probability]: two-sided p of sign flips of set less controls; NULL without controls
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   judge_position: place of the judge in the run, from 1
--   pooled: whether the row is over all prompts of the run
--   located_on: names of the data sets on which the neurons were located; NULL if unknown
--   located_prompts [prompts]: how many prompts that were
--   before: spec of the model before; NULL if unknown
--   after: spec of the model after; NULL if unknown
--   completions_by: who wrote: before, after, another model's spec, or 'the text of' a file; NULL if unknown
--   positions: which positions were scored; NULL if unknown
--   prompts_key: hash of the prompts on which the neurons were located; NULL if unknown
--   locate_setup: hash of all other settings of the locate run that its ranking depends on
--   run_id -> runs.run_id: the patch run
--   variant_id -> variants.variant_id: the patched set
-- Units:   effects as in causal_effects.
-- Caveats: the locate run is looked up by its name, so one that was replaced since shows its new settings; located_on
--          and what follows are NULL where it is gone or its scores were imported. controls_p_value is of the matched
--          controls if there are any, else of those from anywhere. Of runs by both routes, sets by the total one.
CREATE OR REPLACE VIEW figure_sources AS
WITH read AS (
    SELECT
        rp.run_id,
        string_agg(DISTINCT p.dataset, ', ' ORDER BY p.dataset) AS datasets,
        count(*) AS n_prompts,
        md5(string_agg(rp.prompt_id, ',' ORDER BY rp.prompt_id)) AS prompts_key
    FROM run_prompts AS rp
    JOIN prompts AS p USING (prompt_id)
    GROUP BY rp.run_id
),
located AS (
    SELECT
        runs.name AS source,
        read.datasets AS located_on,
        read.n_prompts AS located_prompts,
        runs.config ->> '$.before' AS before,
        runs.config ->> '$.after' AS after,
        coalesce(
            'the text of ' || (runs.config ->> '$.completions'), runs.config ->> '$.completions_by'
        ) AS completions_by,
        runs.config ->> '$.positions' AS positions,
        read.prompts_key,
        md5((runs.config ->> [
            '$.scorer', '$.skip_last_layers', '$.max_new_tokens', '$.template', '$.system', '$.response_prefix',
            '$.dtype', '$.after_dtype', '$.quantize'
        ])::VARCHAR) AS locate_setup
    FROM runs
    LEFT JOIN read USING (run_id)
    WHERE runs.kind = 'locate' AND runs.status = 'done'
)
SELECT
    e.run,
    e.variant,
    s.source,
    s.low,
    s.high,
    s.in_percent,
    s.is_window,
    e.n_neurons,
    e.fraction,
    e.recipient,
    e.donor,
    s.setup,
    e.judge,
    e.dataset,
    e.n_prompts,
    e.effect,
    e.ci_low,
    e.ci_high,
    e.defined,
    e.mean_recipient,
    e.mean_patched,
    e.mean_donor,
    e.change_ci_low,
    e.change_ci_high,
    e.n_controls,
    e.control_mean,
    e.control_min,
    e.control_max,
    c.controls_permutation_p_value AS controls_p_value,
    e.confidence,
    e.resamples,
    e.seed,
    e.judge_position,
    e.pooled,
    located.located_on,
    located.located_prompts,
    located.before,
    located.after,
    located.completions_by,
    located.positions,
    located.prompts_key,
    located.locate_setup,
    e.run_id,
    e.variant_id
FROM figure_effects AS e
JOIN figure_sets AS s USING (run_id, variant_id)
JOIN causal_effects AS c USING (run_id, variant_id, judge, dataset)
LEFT JOIN located ON located.source = s.source
JOIN variants AS v USING (run_id, variant_id)
WHERE s.source IS NOT NULL AND (v.route IS NULL OR v.route = 'total');
