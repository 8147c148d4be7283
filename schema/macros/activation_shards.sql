-- Purpose: the token-level activations that runs keep in Parquet shards beside the database (`--store parquet`).
-- Grain:   one row per run, layer, expert, neuron and token_index.
-- Columns:
--   run_id -> runs.run_id: the run
--   layer: layer of the neuron, from 0
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   neuron: place of the neuron in its layer or expert, from 0
--   token_index -> scored_tokens.token_index: the token
--   before [activation]: under the model before
--   after [activation]: under the model after
-- Units:   before and after are activations, rounded to half precision.
-- Caveats: snql sets the variable `snql_shards` when it opens the database; without it, as in another DuckDB program,
--          the shards are not seen: set it to 'SELECT * FROM read_parquet(''DATABASE.shards/*/*.parquet'')'.
-- Example: FROM activation_shards()
CREATE OR REPLACE MACRO activation_shards() AS TABLE
SELECT run_id, layer, expert, neuron, token_index, before, after
FROM query(coalesce(
    getvariable('snql_shards'),
    'SELECT * FROM activation_rows WHERE false'
));
