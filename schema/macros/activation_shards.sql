-- Purpose: the token-level activations that runs keep in Parquet shards beside the database (`--store parquet`).
-- Grain:   one row per run, layer, expert, neuron and token_index.
-- Units:   before and after are activations, rounded to half precision.
-- Caveats: snql sets the variable `snql_shards` when it opens the database; without it, as in another DuckDB program,
--          the shards are not seen: set it to 'SELECT * FROM read_parquet(''DATABASE.shards/*/*.parquet'')'.
CREATE OR REPLACE MACRO activation_shards() AS TABLE
SELECT run_id, layer, expert, neuron, token_index, before, after
FROM query(coalesce(
    getvariable('snql_shards'),
    'SELECT * FROM activation_rows WHERE false'
));
