-- Purpose: how sure each neuron's change score is: intervals over prompts, in runs with --bootstrap.
-- Grain:   one row per run, layer, expert and neuron.
-- Key:     run, layer, expert, neuron
-- Columns:
--   run -> runs.name: the locate run
--   layer: layer of the neuron, from 0
--   neuron: place of the neuron in its layer or expert, from 0
--   score [activation]: change score over all prompts
--   ci_low [activation]: lower end of the 95 % percentile interval
--   ci_high [activation]: upper end
--   standard_error [activation]: standard error of the score over prompts
--   rank: 1 for the highest score; NULL where a neuron is not ranked
--   top_share: share of the resamples in which the neuron is among the top 5 % of the ranked; NULL where not ranked
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   run_id -> runs.run_id: the run
-- Units:   resamples draw prompts with replacement, all their tokens with them; the run's config says how many.
-- Caveats: an interval says how the score would vary with other prompts of the same kind, not with other models.
CREATE OR REPLACE VIEW neuron_intervals AS
SELECT
    runs.name AS run,
    i.layer,
    i.neuron,
    s.score,
    i.ci_low,
    i.ci_high,
    i.standard_error,
    s.rank,
    i.top_share,
    i.expert,
    i.run_id
FROM score_intervals AS i
JOIN runs USING (run_id)
JOIN neuron_statistics AS s
    ON s.run_id = i.run_id AND s.layer = i.layer AND s.neuron = i.neuron AND s.expert IS NOT DISTINCT FROM i.expert
WHERE runs.status = 'done';
