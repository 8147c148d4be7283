-- Purpose: effect and mean score against number of patched neurons, for locate runs that differ in one respect only:
--          what figure_locating_prompts, figure_locating_pairs and figure_locating_positions are taken from.
-- Grain:   one row per respect (attribute), patch run, top of a ranking and data set.
-- Key:     attribute, run, variant, dataset
-- Columns:
--   attribute: what differs between the locate runs of a comparison: prompts, pair (models, writer) or positions
--   comparison: hash of everything that they have in common: rows with equal ones can be compared
--   value: the locate run's own prompts (a hash), models and writer, or positions
--   run -> runs.name: the patch run
--   variant: name of the patched set
--   source -> runs.name: locate run whose top the set is
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   recipient: spec of the recipient
--   donor: spec of the donor
--   judge -> judges.judge: the run's first judge
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
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   pooled: whether the row is over all prompts of the run
--   located_on: names of the data sets on which the neurons were located
--   located_prompts [prompts]: how many prompts that were
--   before: spec of the model before
--   after: spec of the model after
--   completions_by: who wrote: before, after, another model's spec, or 'the text of' a file
--   positions: which positions were scored
-- Units:   effects as in causal_effects; means and change_ci_* in the judge's units.
-- Caveats: only the first judge of each run, tops of rankings (no windows) of at least two sizes, and locate runs that
--          agree in all that a ranking depends on but the one attribute; patched with equal settings on equal prompts.
--          A set that two runs patched is here twice. Undefined effects are here as NULL.
CREATE OR REPLACE VIEW figure_locating AS
WITH compared AS (
    SELECT
        attribute,
        CASE attribute
            WHEN 'prompts' THEN prompts_key
            WHEN 'pair' THEN [before, after, completions_by]::VARCHAR
            ELSE positions
        END AS value,
        md5(list_concat(
            [setup, judge, attribute, locate_setup],
            CASE WHEN attribute <> 'prompts' THEN [prompts_key] END,
            CASE WHEN attribute <> 'pair' THEN [before, after, completions_by] END,
            CASE WHEN attribute <> 'positions' THEN [positions] END
        )::VARCHAR) AS comparison,
        figure_sources.*
    FROM figure_sources
    CROSS JOIN (VALUES ('prompts'), ('pair'), ('positions')) AS attributes(attribute)
    WHERE NOT is_window AND judge_position = 1 AND positions IS NOT NULL AND prompts_key IS NOT NULL
        AND completions_by IS NOT NULL
    QUALIFY count(DISTINCT n_neurons) OVER (PARTITION BY comparison, source, dataset) >= 2
)
SELECT
    attribute, comparison, value, run, variant, source, n_neurons, fraction, recipient, donor, judge, dataset,
    n_prompts, effect, ci_low, ci_high, defined, mean_recipient, mean_patched, mean_donor, change_ci_low,
    change_ci_high, n_controls, control_mean, control_min, control_max, confidence, resamples, seed, pooled, located_on,
    located_prompts, before, after, completions_by, positions
FROM compared
QUALIFY count(DISTINCT value) OVER (PARTITION BY comparison, dataset) >= 2;
