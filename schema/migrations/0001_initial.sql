-- The tables of an analysis database: runs, what they read, what they wrote, what was measured.
-- Times are UTC. Layers and neurons are 0-based. `expert` is NULL outside mixture-of-experts models.

CREATE SEQUENCE run_ids;
CREATE SEQUENCE prompt_ids;
CREATE SEQUENCE set_ids;

-- One row: one run (a locate or a patch) with everything needed to trace or repeat it.
CREATE TABLE runs (
    run_id          INTEGER PRIMARY KEY,
    name            VARCHAR NOT NULL,
    kind            VARCHAR NOT NULL,
    status          VARCHAR NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
    started_at      TIMESTAMP NOT NULL,
    finished_at     TIMESTAMP,
    error           VARCHAR,
    config          JSON NOT NULL,
    config_sha256   VARCHAR NOT NULL,
    snql_version    VARCHAR NOT NULL,
    git_commit      VARCHAR,
    libraries       JSON NOT NULL,
    platform        VARCHAR NOT NULL,
    device          VARCHAR,
    dtype           VARCHAR,
    seed            BIGINT,
    UNIQUE (kind, name)
);

-- One row: one model (a base with its adapters), identified by the hashes of its files.
CREATE TABLE models (
    model_id        VARCHAR PRIMARY KEY,
    spec            VARCHAR NOT NULL,
    base            VARCHAR NOT NULL,
    base_sha256     VARCHAR NOT NULL,
    base_files      JSON NOT NULL,
    architecture    VARCHAR NOT NULL,
    n_layers        INTEGER NOT NULL,
    n_neurons       INTEGER NOT NULL,
    adapter_ids     VARCHAR[] NOT NULL
);

-- One row: one adapter, identified by the hash of its files.
CREATE TABLE adapters (
    adapter_id      VARCHAR PRIMARY KEY,
    path            VARCHAR NOT NULL,
    peft_type       VARCHAR NOT NULL,
    config          JSON NOT NULL,
    files           JSON NOT NULL
);

-- One row: the model that plays a role (before, after, recipient, donor) in a run.
CREATE TABLE run_models (
    run_id          INTEGER NOT NULL,
    role            VARCHAR NOT NULL,
    model_id        VARCHAR NOT NULL
);

-- One row: one distinct prompt text of one data set.
CREATE TABLE prompts (
    prompt_id       INTEGER PRIMARY KEY,
    dataset         VARCHAR NOT NULL,
    text            VARCHAR NOT NULL,
    sha256          VARCHAR NOT NULL,
    category        VARCHAR,
    label           VARCHAR,
    UNIQUE (dataset, sha256)
);

-- One row: one prompt as one run gave it to the models: order and exact token ids.
CREATE TABLE run_prompts (
    run_id          INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    ordinal         INTEGER NOT NULL,
    formatted       VARCHAR NOT NULL,
    input_ids       INTEGER[] NOT NULL
);

-- One row: one saved neuron set; the same members are stored once, whatever expressions named them.
CREATE TABLE neuron_sets (
    set_id          INTEGER PRIMARY KEY,
    sha256          VARCHAR NOT NULL UNIQUE,
    n_neurons       INTEGER NOT NULL,
    created_at      TIMESTAMP NOT NULL
);

CREATE TABLE neuron_set_members (
    set_id          INTEGER NOT NULL,
    layer           SMALLINT NOT NULL,
    expert          SMALLINT,
    neuron          INTEGER NOT NULL
);

-- One row: one way of generating in a run: the model that writes in a locate run (role before or after);
-- the unpatched recipient, the donor, or one patched neuron set in a patch run.
CREATE TABLE variants (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    name            VARCHAR NOT NULL,
    role            VARCHAR NOT NULL CHECK (role IN ('before', 'after', 'recipient', 'donor', 'patched')),
    neurons         VARCHAR,
    set_id          INTEGER,
    n_neurons       INTEGER,
    fraction        DOUBLE,
    control_of      INTEGER,
    control_seed    INTEGER
);

-- One row: one completion; token_ids as produced, end-of-sequence token included.
CREATE TABLE completions (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    text            VARCHAR NOT NULL,
    token_ids       INTEGER[] NOT NULL,
    finish_reason   VARCHAR NOT NULL CHECK (finish_reason IN ('stop', 'length'))
);

-- One row: the statistics of one neuron over all scored tokens of a locate run.
CREATE TABLE neuron_statistics (
    run_id          INTEGER NOT NULL,
    layer           SMALLINT NOT NULL,
    expert          SMALLINT,
    neuron          INTEGER NOT NULL,
    score           DOUBLE NOT NULL,
    rank            INTEGER,
    mean_before     DOUBLE NOT NULL,
    mean_after      DOUBLE NOT NULL,
    std_before      DOUBLE,
    std_after       DOUBLE,
    mean_difference DOUBLE NOT NULL,
    n_tokens        BIGINT NOT NULL
);

-- One row: one scored token position of a locate run (position counted from the start of the prompt).
CREATE TABLE scored_tokens (
    run_id          INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    token_id        INTEGER NOT NULL,
    token           VARCHAR NOT NULL
);

-- One row: the activation of one kept neuron at one scored token under both models.
CREATE TABLE activation_rows (
    run_id          INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    layer           SMALLINT NOT NULL,
    expert          SMALLINT,
    neuron          INTEGER NOT NULL,
    before          REAL NOT NULL,
    after           REAL NOT NULL
);

-- One row: a judge as it was when it scored.
CREATE TABLE judges (
    judge           VARCHAR PRIMARY KEY,
    kind            VARCHAR NOT NULL,
    version         VARCHAR NOT NULL,
    settings        JSON NOT NULL
);

-- One row: one judge's score of one completion.
CREATE TABLE judgements (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    judge           VARCHAR NOT NULL,
    score           DOUBLE NOT NULL
);

-- One row: the measured effect of one patched variant on one data set under one judge.
CREATE TABLE effects (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    judge           VARCHAR NOT NULL,
    dataset         VARCHAR NOT NULL,
    n_prompts       INTEGER NOT NULL,
    mean_recipient  DOUBLE NOT NULL,
    mean_donor      DOUBLE NOT NULL,
    mean_patched    DOUBLE NOT NULL,
    gap             DOUBLE NOT NULL,
    gap_ci_low      DOUBLE NOT NULL,
    gap_ci_high     DOUBLE NOT NULL,
    change          DOUBLE NOT NULL,
    change_ci_low   DOUBLE NOT NULL,
    change_ci_high  DOUBLE NOT NULL,
    effect          DOUBLE,
    ci_low          DOUBLE,
    ci_high         DOUBLE,
    confidence      DOUBLE NOT NULL,
    resamples       INTEGER NOT NULL,
    seed            BIGINT NOT NULL
);
