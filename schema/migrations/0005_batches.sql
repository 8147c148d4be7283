-- Runs that can be watched and resumed batch by batch, and token-level activations in rows or in Parquet shards.

-- Which batch of its run a prompt is in: the plan that a resumed run follows; NULL in runs without one.
ALTER TABLE run_prompts ADD COLUMN batch INTEGER;

-- The neurons whose token-level activations a locate run keeps, where they are (rows or parquet), and the digest of its
-- statistics; NULL until they are known.
ALTER TABLE runs ADD COLUMN kept_set_id INTEGER;
ALTER TABLE runs ADD COLUMN store VARCHAR;
ALTER TABLE runs ADD COLUMN statistics_digest UBIGINT;

-- One row: one finished batch of one stage of a run. contrast: prompts written and contrasted; keep: token-level
-- activations collected. file and sha256: what the batch left in the staging folder beside the database.
CREATE TABLE run_batches (
    run_id          INTEGER NOT NULL,
    stage           VARCHAR NOT NULL CHECK (stage IN ('contrast', 'keep')),
    batch           INTEGER NOT NULL,
    n_prompts       INTEGER NOT NULL,
    n_tokens        BIGINT NOT NULL,
    finished_at     TIMESTAMP NOT NULL,
    file            VARCHAR,
    sha256          VARCHAR
);

-- One row: a part of a run's token-level activations, committed at once: some neurons of one layer, all their tokens.
-- digest: sum over rows of a hash (docs/method.md); file: the Parquet shard that holds them, NULL for rows.
CREATE TABLE activation_chunks (
    run_id          INTEGER NOT NULL,
    chunk           INTEGER NOT NULL,
    layer           SMALLINT NOT NULL,
    n_rows          BIGINT NOT NULL,
    digest          UBIGINT,
    file            VARCHAR
);

-- Tokens get a number within their run, so that an activation names its token in one column that compresses to nothing.
CREATE TABLE numbered_tokens AS
SELECT
    run_id,
    (row_number() OVER (PARTITION BY run_id ORDER BY prompt_id, position) - 1)::INTEGER AS token_index,
    prompt_id,
    position,
    token_id,
    token
FROM scored_tokens
ORDER BY run_id, token_index;
CREATE TABLE numbered_rows AS
SELECT a.run_id, a.layer, a.expert, a.neuron, t.token_index, a.before, a.after
FROM activation_rows AS a
JOIN numbered_tokens AS t USING (run_id, prompt_id, position)
ORDER BY a.run_id, a.layer, a.expert, a.neuron, t.token_index;
INSERT INTO activation_chunks
SELECT run_id, row_number() OVER (PARTITION BY run_id ORDER BY layer) - 1, layer, count(*), NULL, NULL
FROM numbered_rows GROUP BY run_id, layer;
UPDATE runs SET store = 'rows' WHERE run_id IN (SELECT run_id FROM activation_chunks);
DROP TABLE scored_tokens;
DROP TABLE activation_rows;

-- One row: one scored token position of a locate run; position counts from the start of the prompt, token_index from the
-- run's first scored token.
CREATE TABLE scored_tokens (
    run_id          INTEGER NOT NULL,
    token_index     INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    token_id        INTEGER NOT NULL,
    token           VARCHAR NOT NULL
);
INSERT INTO scored_tokens SELECT * FROM numbered_tokens;
DROP TABLE numbered_tokens;

-- One row: the activation of one kept neuron at one scored token under both models.
CREATE TABLE activation_rows (
    run_id          INTEGER NOT NULL,
    layer           SMALLINT NOT NULL,
    expert          SMALLINT,
    neuron          INTEGER NOT NULL,
    token_index     INTEGER NOT NULL,
    before          REAL NOT NULL,
    after           REAL NOT NULL
);
INSERT INTO activation_rows SELECT * FROM numbered_rows;
DROP TABLE numbered_rows;
