-- What patching costs: perplexity, tasks of the evaluation harness, and how near a patch comes to the donor.

-- One row: one window of a text as one variant of a perplexity run read it. nlls: of each scored token; those before
-- first_position only gave context.
CREATE TABLE text_windows (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    window_index    INTEGER NOT NULL,
    first_position  INTEGER NOT NULL,
    n_context       INTEGER NOT NULL,
    n_tokens        INTEGER NOT NULL,
    nll             DOUBLE NOT NULL,
    nlls            DOUBLE[] NOT NULL,
    PRIMARY KEY (run_id, variant_id, prompt_id, window_index)
);

-- One row: the perplexity of one variant on one data set ('*': all of a run with several), and its ratio to that of the
-- unpatched model on the same tokens. unit: what the bootstrap draws.
CREATE TABLE text_perplexities (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    dataset         VARCHAR NOT NULL,
    n_documents     INTEGER NOT NULL,
    n_windows       INTEGER NOT NULL,
    n_tokens        BIGINT NOT NULL,
    nll             DOUBLE NOT NULL,
    perplexity      DOUBLE NOT NULL,
    ci_low          DOUBLE,
    ci_high         DOUBLE,
    ratio           DOUBLE NOT NULL,
    ratio_ci_low    DOUBLE,
    ratio_ci_high   DOUBLE,
    unit            VARCHAR NOT NULL,
    confidence      DOUBLE NOT NULL,
    resamples       INTEGER NOT NULL,
    seed            BIGINT NOT NULL,
    PRIMARY KEY (run_id, variant_id, dataset)
);

-- One row: how far one variant is from the donor on one completion that the donor wrote: the sum over its tokens of
-- KL(donor || variant), and how often the most likely token is the donor's. kls and agrees: of each token.
CREATE TABLE divergences (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    sample          INTEGER NOT NULL,
    n_tokens        INTEGER NOT NULL,
    kl              DOUBLE NOT NULL,
    n_agreeing      INTEGER NOT NULL,
    kls             DOUBLE[] NOT NULL,
    agrees          BOOLEAN[] NOT NULL,
    PRIMARY KEY (run_id, variant_id, prompt_id, sample)
);

-- One row: the share of the recipient's divergence from the donor that a neuron set closes, on one data set ('*': all
-- of a run with several). Per token; NULL where it is undefined, and the last ones without random controls.
CREATE TABLE divergence_effects (
    run_id              INTEGER NOT NULL,
    variant_id          INTEGER NOT NULL,
    dataset             VARCHAR NOT NULL,
    n_prompts           INTEGER NOT NULL,
    n_tokens            BIGINT NOT NULL,
    kl_recipient        DOUBLE NOT NULL,
    kl_recipient_ci_low DOUBLE,
    kl_recipient_ci_high DOUBLE,
    kl_patched          DOUBLE NOT NULL,
    kl_patched_ci_low   DOUBLE,
    kl_patched_ci_high  DOUBLE,
    closed              DOUBLE,
    ci_low              DOUBLE,
    ci_high             DOUBLE,
    agreement_recipient DOUBLE NOT NULL,
    agreement_patched   DOUBLE NOT NULL,
    control_kind        VARCHAR,
    n_controls          INTEGER,
    controls_closed     DOUBLE,
    controls_difference DOUBLE,
    controls_difference_ci_low DOUBLE,
    controls_difference_ci_high DOUBLE,
    confidence          DOUBLE NOT NULL,
    resamples           INTEGER NOT NULL,
    seed                BIGINT NOT NULL,
    PRIMARY KEY (run_id, variant_id, dataset)
);

-- One row: one metric of one task of the evaluation harness under one variant. requested: the name it was asked for by,
-- which may be that of a group of tasks.
CREATE TABLE task_results (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    requested       VARCHAR NOT NULL,
    task            VARCHAR NOT NULL,
    metric          VARCHAR NOT NULL,
    filter          VARCHAR NOT NULL,
    value           DOUBLE,
    stderr          DOUBLE,
    n_samples       INTEGER,
    n_shot          INTEGER,
    task_version    VARCHAR,
    higher_is_better BOOLEAN,
    PRIMARY KEY (run_id, variant_id, requested, task, metric, filter)
);

-- One row: one metric of one document of a task under one variant, with what the model answered.
CREATE TABLE task_samples (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    requested       VARCHAR NOT NULL,
    task            VARCHAR NOT NULL,
    doc_id          INTEGER NOT NULL,
    filter          VARCHAR NOT NULL,
    metric          VARCHAR NOT NULL,
    value           DOUBLE,
    target          VARCHAR NOT NULL,
    response        VARCHAR NOT NULL,
    PRIMARY KEY (run_id, variant_id, requested, task, doc_id, filter, metric)
);
