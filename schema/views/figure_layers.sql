-- Purpose: how the highest-ranked neurons spread over the layers, in bands of rank: the chart `layers`.
-- Grain:   one row per finished locate run, band of ranks and ranked layer, layers with none of them included.
-- Key:     run, band, layer
-- Columns:
--   run -> runs.name: the locate run
--   band: number of the band of ranks, from 1
--   from_fraction [share]: where the band begins, of the ranked neurons
--   to_fraction [share]: where the band ends, of the ranked neurons
--   layer: the layer, from 0
--   depth [share]: place of the layer between the model's first (0) and last (1)
--   n_neurons [neurons]: neurons of the band in the layer
--   band_size [neurons]: neurons of the band
--   share [share]: n_neurons over band_size
--   uniform [share]: what share would be if the band spread evenly
--   n_layers [layers]: layers of the model
--   n_ranked_layers [layers]: layers with ranked neurons
-- Units:   share is the layer's share of the band's neurons; depth is 0 at the first layer of the model and 1 at its
--          last (not its last ranked one); uniform is the share that every layer would have by chance.
-- Caveats: a band ends at its percentage of the ranked neurons, rounded, so a small model can have an empty band: it
--          is left out. Band 1 is the top 1 %, 2 is 1-5 %, 3 is 5-10 %, 4 is 10-20 %.
CREATE OR REPLACE VIEW figure_layers AS
WITH bands(band, from_fraction, to_fraction) AS (
    VALUES (1, 0.0::DOUBLE, 0.01::DOUBLE), (2, 0.01, 0.05), (3, 0.05, 0.10), (4, 0.10, 0.20)
),
limits AS (
    SELECT
        r.run_id,
        r.run,
        r.n_layers,
        r.n_ranked_layers,
        b.*,
        round(b.from_fraction * r.n_ranked)::INTEGER AS from_rank,
        round(b.to_fraction * r.n_ranked)::INTEGER AS to_rank
    FROM locate_runs AS r
    CROSS JOIN bands AS b
    WHERE r.null_of IS NULL AND round(b.to_fraction * r.n_ranked) > round(b.from_fraction * r.n_ranked)
),
ranked AS (
    SELECT run_id, layer, rank FROM neuron_scores WHERE rank IS NOT NULL
),
counted AS (
    SELECT
        l.run_id,
        l.band,
        s.layer,
        count(*) FILTER (s.rank > l.from_rank AND s.rank <= l.to_rank) AS n_neurons
    FROM limits AS l
    JOIN ranked AS s USING (run_id)
    GROUP BY l.run_id, l.band, s.layer
)
SELECT
    l.run,
    l.band,
    l.from_fraction,
    l.to_fraction,
    c.layer,
    CASE WHEN l.n_layers > 1 THEN c.layer / (l.n_layers - 1) ELSE 0 END AS depth,
    c.n_neurons,
    l.to_rank - l.from_rank AS band_size,
    c.n_neurons / (l.to_rank - l.from_rank) AS share,
    1 / l.n_ranked_layers AS uniform,
    l.n_layers,
    l.n_ranked_layers
FROM counted AS c
JOIN limits AS l USING (run_id, band);
