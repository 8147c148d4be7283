-- Guards: classifiers of prompts on the activations of chosen neurons, their random controls, and how they do.

-- One row: a trained guard. about: its model, template and training facts, as guard.json holds them.
CREATE TABLE guards (
    run_id          INTEGER PRIMARY KEY,
    threshold       DOUBLE NOT NULL,
    about           JSON NOT NULL
);

-- One row: one classifier of a guard or guard-test run: the guard itself (number 0), one on a prefix of its ranking, or
-- one on random neurons.
CREATE TABLE guard_classifiers (
    run_id          INTEGER NOT NULL,
    classifier_id   INTEGER NOT NULL,
    neurons         VARCHAR NOT NULL,
    kind            VARCHAR NOT NULL,
    control_seed    INTEGER,
    set_id          INTEGER NOT NULL,
    n_neurons       INTEGER NOT NULL,
    c               DOUBLE NOT NULL,
    n_folds         INTEGER NOT NULL,
    log_loss        DOUBLE,
    converged       BOOLEAN NOT NULL,
    PRIMARY KEY (run_id, classifier_id)
);

-- One row: the numbers of one classifier, in the order of its neurons (layer, expert, neuron).
CREATE TABLE guard_weights (
    run_id          INTEGER NOT NULL,
    classifier_id   INTEGER NOT NULL,
    intercept       DOUBLE NOT NULL,
    weights         DOUBLE[] NOT NULL,
    means           DOUBLE[] NOT NULL,
    scales          DOUBLE[] NOT NULL,
    PRIMARY KEY (run_id, classifier_id)
);

-- One row: what a judge said of the model's own answer to one prompt of a guard or guard-test run.
CREATE TABLE guard_labels (
    run_id          INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    benign          BOOLEAN NOT NULL,
    score           DOUBLE,
    label           BOOLEAN,
    PRIMARY KEY (run_id, prompt_id)
);

-- One row: one classifier's probability of one prompt, from the activations of one model (variant).
CREATE TABLE guard_probabilities (
    run_id          INTEGER NOT NULL,
    classifier_id   INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    probability     DOUBLE NOT NULL,
    PRIMARY KEY (run_id, classifier_id, variant_id, prompt_id)
);

-- One row: one measure of a guard, or the mean of its random controls of one kind, on one data set ('*': all of a run
-- with several), and what the guard has over these controls on the same prompts.
CREATE TABLE guard_measures (
    run_id              INTEGER NOT NULL,
    neurons             VARCHAR NOT NULL,
    kind                VARCHAR NOT NULL,
    dataset             VARCHAR NOT NULL,
    measure             VARCHAR NOT NULL,
    n_neurons           INTEGER NOT NULL,
    n_classifiers       INTEGER NOT NULL,
    n_prompts           INTEGER NOT NULL,
    n_harmful           INTEGER NOT NULL,
    n_benign            INTEGER NOT NULL,
    value               DOUBLE,
    ci_low              DOUBLE,
    ci_high             DOUBLE,
    difference          DOUBLE,
    difference_ci_low   DOUBLE,
    difference_ci_high  DOUBLE,
    confidence          DOUBLE NOT NULL,
    resamples           INTEGER NOT NULL,
    seed                BIGINT NOT NULL,
    PRIMARY KEY (run_id, neurons, kind, dataset, measure)
);

-- One row: what the answers cost that one model gives to a data set's prompts, without those that a guard refuses.
-- guarded_by: none, or whose activations the guard read.
CREATE TABLE guard_answers (
    run_id              INTEGER NOT NULL,
    variant_id          INTEGER NOT NULL,
    guarded_by          VARCHAR NOT NULL,
    dataset             VARCHAR NOT NULL,
    judge               VARCHAR NOT NULL,
    n_prompts           INTEGER NOT NULL,
    n_accepted          INTEGER NOT NULL,
    mean_cost           DOUBLE,
    ci_low              DOUBLE,
    ci_high             DOUBLE,
    change              DOUBLE,
    change_ci_low       DOUBLE,
    change_ci_high      DOUBLE,
    guard_rate          DOUBLE NOT NULL,
    guard_rate_ci_low   DOUBLE,
    guard_rate_ci_high  DOUBLE,
    refusal_rate        DOUBLE NOT NULL,
    refusal_rate_ci_low DOUBLE,
    refusal_rate_ci_high DOUBLE,
    confidence          DOUBLE NOT NULL,
    resamples           INTEGER NOT NULL,
    seed                BIGINT NOT NULL,
    PRIMARY KEY (run_id, variant_id, guarded_by, dataset)
);
