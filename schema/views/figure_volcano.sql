-- Purpose: effect size against change score, all ranked neurons counted in bins, and the highest ones: `volcano`.
-- Grain:   one row per finished locate run and either bin that holds a neuron (kind 'bin') or neuron of the 40 highest
--          ranks (kind 'neuron'); what describes the whole run (n_ranked, n_undefined, n_beyond) is in all its rows.
-- Key:     run, bin, rank
-- Columns:
--   run -> runs.name: the locate run
--   kind: bin or neuron
--   bin: number of the bin: 32 * (row by score) + (column by effect size), from 0; NULL for neurons
--   rank: 1 for the highest score; NULL for bins
--   layer: layer of the neuron, from 0; NULL for bins
--   expert: expert of the neuron, from 0; NULL for bins and outside mixture-of-experts models
--   neuron: place of the neuron in its layer or expert, from 0; NULL for bins
--   effect_low [standard deviations]: lower end of the bin, or the neuron's effect size
--   effect_high [standard deviations]: upper end of the bin, or the neuron's effect size
--   score_low [activation]: lower end of the bin, or the neuron's score
--   score_high [activation]: upper end of the bin, or the neuron's score
--   n_neurons [neurons]: neurons in the bin; 1 for neurons
--   n_ranked [neurons]: ranked neurons of the run
--   n_undefined [neurons]: of these, without an effect size or with a score of 0: in no bin
--   n_beyond [neurons]: of these, with effect sizes outside the bins: they are counted in the outermost ones
-- Units:   effect size is Cohen's d of the signed shift, with the standard deviations over tokens under each model:
--          mean_difference / sqrt((std_before^2 + std_after^2) / 2). 32 bins of effect size, equally wide and as far
--          below 0 as above; 24 bins of score, equally wide in its logarithm.
-- Caveats: the bins reach as far as 99.8 % of the neurons' effect sizes and all of the 40 highest ranks. Standard
--          deviations are over tokens, so d does not grow with their number and is no test. d is undefined where
--          both standard deviations are 0 or unknown.
CREATE OR REPLACE VIEW figure_volcano AS
WITH neurons AS (
    SELECT
        s.run_id,
        s.run,
        s.rank,
        s.layer,
        s.expert,
        s.neuron,
        s.score,
        s.mean_difference / nullif(sqrt((s.std_before * s.std_before + s.std_after * s.std_after) / 2), 0) AS d,
        d IS NOT NULL AND s.score > 0 AS defined
    FROM neuron_scores AS s
    SEMI JOIN (FROM locate_runs WHERE scorer = 'change-score' AND null_of IS NULL) USING (run_id)
    WHERE s.rank IS NOT NULL
),
limits AS (
    SELECT
        run_id,
        count(*) AS n_ranked,
        count(*) FILTER (NOT defined) AS n_undefined,
        greatest(
            quantile_cont(abs(d), 0.998) FILTER (defined), max(abs(d)) FILTER (defined AND rank <= 40)
        ) AS widest,
        CASE WHEN widest > 0 THEN widest ELSE 1 END AS reach,
        log10(min(score) FILTER (defined)) AS log_low,
        log10(max(score) FILTER (defined)) AS log_high,
        (log_high - log_low) / 24 AS height
    FROM neurons
    GROUP BY run_id
),
beyond AS (
    SELECT n.run_id, count(*) FILTER (abs(n.d) > l.reach) AS n_beyond
    FROM neurons AS n
    JOIN limits AS l USING (run_id)
    WHERE n.defined
    GROUP BY n.run_id
),
binned AS (
    SELECT
        n.run_id,
        n.run,
        greatest(0, least(31, floor((n.d / l.reach + 1) * 16)))::INTEGER AS across,
        CASE WHEN l.height > 0 THEN least(23, floor((log10(n.score) - l.log_low) / l.height)) ELSE 0 END::INTEGER AS up,
        count(*) AS n_neurons
    FROM neurons AS n
    JOIN limits AS l USING (run_id)
    WHERE n.defined
    GROUP BY ALL
),
rows_of_both AS (
    SELECT
        b.run_id,
        b.run,
        'bin' AS kind,
        32 * b.up + b.across AS bin,
        NULL AS rank,
        NULL AS layer,
        NULL AS expert,
        NULL AS neuron,
        l.reach * (b.across / 16 - 1) AS effect_low,
        l.reach * ((b.across + 1) / 16 - 1) AS effect_high,
        pow(10, l.log_low + b.up * l.height) AS score_low,
        pow(10, l.log_low + (b.up + 1) * l.height) AS score_high,
        b.n_neurons
    FROM binned AS b
    JOIN limits AS l USING (run_id)
    UNION ALL
    SELECT run_id, run, 'neuron', NULL, rank, layer, expert, neuron, d, d, score, score, 1
    FROM neurons
    WHERE defined AND rank <= 40
)
SELECT b.* EXCLUDE (run_id), l.n_ranked, l.n_undefined, y.n_beyond
FROM rows_of_both AS b
JOIN limits AS l USING (run_id)
JOIN beyond AS y USING (run_id);
