-- Guards compared: what each classifier reads, what that adds to a prefill, and what was chosen without each fold.

-- One row: one classifier of a guard-compare run. set_id: the neurons it reads; NULL for components and residual streams.
CREATE TABLE guard_readers (
    run_id          INTEGER NOT NULL,
    classifier_id   INTEGER NOT NULL,
    neurons         VARCHAR NOT NULL,
    kind            VARCHAR NOT NULL,
    control_seed    INTEGER,
    set_id          INTEGER,
    n_numbers       INTEGER NOT NULL,
    added_ms        DOUBLE,
    added_ms_low    DOUBLE,
    added_ms_high   DOUBLE,
    PRIMARY KEY (run_id, classifier_id)
);

-- One row: what was chosen for one classifier without one fold of families, on the others.
CREATE TABLE guard_folds (
    run_id          INTEGER NOT NULL,
    classifier_id   INTEGER NOT NULL,
    fold            INTEGER NOT NULL,
    n_train         INTEGER NOT NULL,
    n_test          INTEGER NOT NULL,
    c               DOUBLE NOT NULL,
    layer           INTEGER,
    components      INTEGER,
    PRIMARY KEY (run_id, classifier_id, fold)
);
