-- Purpose: the distribution of the change scores of each locate run, with its knee and skewness: the chart `scores`.
-- Grain:   one row per finished locate run and histogram bin that holds a neuron; what describes the whole run
--          (n_ranked, threshold, knee, skewness) is repeated in each of its rows.
-- Key:     run, bin
-- Columns:
--   run -> runs.name: the locate run
--   bin: number of the bin, from 0
--   bin_low [activation]: lowest score of the bin
--   bin_high [activation]: score at which the next bin begins
--   n_neurons [neurons]: neurons in the bin
--   share [share]: n_neurons over n_ranked
--   n_ranked [neurons]: ranked neurons of the run
--   n_zero [neurons]: ranked neurons with a score of 0
--   threshold_rank: last rank of the top 5 %
--   threshold [activation]: score at that rank
--   knee_rank: rank of the knee; NULL when all scores are equal
--   knee_score [activation]: score of the knee; NULL when all scores are equal
--   skewness: bias-corrected skewness (G1) of the scores; NULL with fewer than three or equal ones
--   lowest [activation]: lowest score of the run
--   highest [activation]: highest score of the run
--   n_draws: contentless adapters that were made of the run (`snql null`); 0 when there are none
--   null_skewness_low: smallest skewness of their scores
--   null_skewness_high: largest skewness of their scores
--   null_knee_low [share]: smallest rank of a knee of theirs over n_ranked
--   null_knee_high [share]: largest rank of a knee of theirs over n_ranked
-- Units:   40 bins of equal width in log10(score) between the run's lowest positive and highest score; bin_low,
--          bin_high, threshold and knee_score are scores; share is the bin's share of all ranked neurons.
-- Caveats: scores of 0 are in no bin (n_zero counts them). threshold is the score at rank round(5 % of n_ranked).
--          The knee is the neuron farthest below the straight line between the first and the last point of the curve
--          of score against rank, both axes scaled to 0..1: the rank r with the largest
--          1 - (r - 1) / (n - 1) - (score - lowest) / (highest - lowest); the first of equals. It is NULL when all
--          scores are equal. skewness is the bias-corrected one (G1) of the scores, not of their logarithms.
CREATE OR REPLACE VIEW figure_scores AS
WITH scored AS (
    SELECT s.run_id, s.run, s.score, s.rank
    FROM neuron_scores AS s
    SEMI JOIN (FROM locate_runs WHERE scorer = 'change-score' AND null_of IS NULL) USING (run_id)
    WHERE s.rank IS NOT NULL
),
sizes AS (
    SELECT
        run_id,
        count(*) AS n_ranked,
        count(*) FILTER (score <= 0) AS n_zero,
        greatest(1, round(0.05 * count(*)))::INTEGER AS threshold_rank,
        min(score) AS lowest,
        max(score) AS highest,
        log10(min(score) FILTER (score > 0)) AS log_low,
        log10(max(score) FILTER (score > 0)) AS log_high,
        CASE WHEN count(*) >= 3 AND min(score) < max(score) THEN skewness(score) END AS skewness
    FROM scored
    GROUP BY run_id
),
distances AS (
    SELECT
        s.run_id,
        s.rank,
        s.score,
        1 - (s.rank - 1) / (z.n_ranked - 1) - (s.score - z.lowest) / (z.highest - z.lowest) AS below_line
    FROM scored AS s
    JOIN sizes AS z USING (run_id)
    WHERE z.highest > z.lowest
),
knees AS (
    SELECT run_id, rank AS knee_rank, score AS knee_score
    FROM distances
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY below_line DESC, rank) = 1
),
thresholds AS (
    SELECT s.run_id, min(s.score) AS threshold
    FROM scored AS s
    JOIN sizes AS z USING (run_id)
    WHERE s.rank <= z.threshold_rank
    GROUP BY s.run_id
),
binned AS (
    SELECT
        s.run_id,
        s.run,
        (z.log_high - z.log_low) / 40 AS width,
        CASE
            WHEN z.log_high > z.log_low
            THEN least(39, floor((log10(s.score) - z.log_low) / (z.log_high - z.log_low) * 40))::INTEGER
            ELSE 0
        END AS bin,
        count(*) AS n_neurons
    FROM scored AS s
    JOIN sizes AS z USING (run_id)
    WHERE s.score > 0
    GROUP BY ALL
)
SELECT
    b.run,
    b.bin,
    pow(10, z.log_low + b.bin * b.width) AS bin_low,
    pow(10, z.log_low + (b.bin + 1) * b.width) AS bin_high,
    b.n_neurons,
    b.n_neurons / z.n_ranked AS share,
    z.n_ranked,
    z.n_zero,
    z.threshold_rank,
    t.threshold,
    k.knee_rank,
    k.knee_score,
    z.skewness,
    z.lowest,
    z.highest,
    coalesce(w.n_draws, 0) AS n_draws,
    w.null_low AS null_skewness_low,
    w.null_high AS null_skewness_high,
    e.null_low AS null_knee_low,
    e.null_high AS null_knee_high
FROM binned AS b
JOIN sizes AS z USING (run_id)
JOIN thresholds AS t USING (run_id)
LEFT JOIN knees AS k USING (run_id)
LEFT JOIN (FROM null_distributions WHERE measure = 'skewness') AS w ON w.run = b.run
LEFT JOIN (FROM null_distributions WHERE measure = 'knee') AS e ON e.run = b.run;
