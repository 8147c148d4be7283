-- Purpose: the perplexity of each variant, its ratio to the unpatched model's, and that of its random controls.
-- Grain:   one row per run, variant and data set (dataset '*' pools all data sets of a run that has several).
-- Key:     run_id, variant_id, dataset
-- Columns:
--   run -> runs.name: the perplexity run
--   variant: name of the variant; recipient is the unpatched model
--   role: recipient, donor or patched
--   neurons: expression of the patched set; NULL for unpatched models
--   n_neurons [neurons]: size of the set; NULL for unpatched models
--   fraction [share]: n_neurons over all neurons of the model; NULL for unpatched models
--   dataset: the data set; * for all of the run's
--   n_tokens [tokens]: scored tokens
--   perplexity: exponential of the mean negative log-likelihood
--   ci_low: lower end of its interval; NULL with one document of one window
--   ci_high: upper end of it
--   ratio: perplexity over that of the unpatched model
--   ratio_ci_low: lower end of the ratio's paired interval
--   ratio_ci_high: upper end of it
--   n_controls [controls]: matched random controls of the set; NULL without any
--   controls_ratio: mean of their ratios; NULL without controls
--   control_of: name of the variant whose random control this is; NULL for others
--   control_seed: seed of the random control; NULL for others
--   control_kind: matched (as many neurons in each layer) or magnitude (and as large); NULL for others
--   nll [nats]: mean negative log-likelihood of a token
--   n_documents [documents]: documents with a scored token
--   n_windows [windows]: windows
--   unit: what intervals are over: document, or window where there is one document
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   set_id -> neuron_sets.set_id: the patched neurons; NULL for unpatched models
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: who read
-- Units:   perplexity is per token of the model's tokenizer; a ratio of 1.02 is 2 % more.
-- Caveats: perplexities of models with other tokenizers, or of other windows and strides, are not comparable. Windows
--          of one document depend on each other, so an interval over them is too narrow.
CREATE OR REPLACE VIEW perplexities AS
WITH controls AS (
    SELECT v.run_id, v.control_of, t.dataset, count(*) AS n_controls, avg(t.ratio) AS controls_ratio
    FROM text_perplexities AS t
    JOIN variants AS v USING (run_id, variant_id)
    WHERE v.control_of IS NOT NULL AND v.control_kind = 'matched'
    GROUP BY ALL
)
SELECT
    runs.name AS run,
    v.name AS variant,
    v.role,
    v.neurons,
    v.n_neurons,
    v.fraction,
    t.dataset,
    t.n_tokens,
    t.perplexity,
    t.ci_low,
    t.ci_high,
    t.ratio,
    t.ratio_ci_low,
    t.ratio_ci_high,
    k.n_controls,
    k.controls_ratio,
    controlled.name AS control_of,
    v.control_seed,
    v.control_kind,
    t.nll,
    t.n_documents,
    t.n_windows,
    t.unit,
    t.confidence,
    t.resamples,
    t.seed,
    v.set_id,
    t.run_id,
    t.variant_id
FROM text_perplexities AS t
JOIN runs USING (run_id)
JOIN variants AS v USING (run_id, variant_id)
LEFT JOIN variants AS controlled
    ON controlled.run_id = v.run_id AND controlled.variant_id = v.control_of
LEFT JOIN controls AS k
    ON k.run_id = t.run_id AND k.control_of = t.variant_id AND k.dataset = t.dataset;
