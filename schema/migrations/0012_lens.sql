-- The lens: value vectors of neurons, the tokens that they promote and suppress, and directions they are compared with.

-- One row: the refusal direction in the residual stream after one layer of a lens run.
CREATE TABLE lens_directions (
    run_id          INTEGER NOT NULL,
    layer           SMALLINT NOT NULL,
    n_harmful       INTEGER NOT NULL,
    n_harmless      INTEGER NOT NULL,
    norm            DOUBLE NOT NULL,
    PRIMARY KEY (run_id, layer)
);

-- One row: the value vector of one neuron of a lens run. direction_layer: the layer of the direction it is compared with.
CREATE TABLE lens_vectors (
    run_id              INTEGER NOT NULL,
    layer               SMALLINT NOT NULL,
    expert              SMALLINT,
    neuron              INTEGER NOT NULL,
    norm                DOUBLE NOT NULL,
    width               INTEGER NOT NULL,
    direction_layer     SMALLINT,
    refusal_cosine      DOUBLE,
    refusal_percentile  DOUBLE
);

-- One row: one token at an end of a value vector's logits.
CREATE TABLE lens_tokens (
    run_id          INTEGER NOT NULL,
    layer           SMALLINT NOT NULL,
    expert          SMALLINT,
    neuron          INTEGER NOT NULL,
    promoted        BOOLEAN NOT NULL,
    place           SMALLINT NOT NULL,
    token_id        INTEGER NOT NULL,
    token           VARCHAR NOT NULL,
    logit           DOUBLE NOT NULL
);
