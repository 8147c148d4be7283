-- Graded effects: where recipient and donor part in what they write, how much more likely each variant finds the donor's
-- token than the recipient's, and what share of the way patched sets go.

-- One row: a variant's log-odds at the first step at which the unpatched models' texts differ, after the text up to there.
CREATE TABLE margins (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    step            INTEGER NOT NULL,
    recipient_token INTEGER NOT NULL,
    donor_token     INTEGER NOT NULL,
    margin          DOUBLE NOT NULL,
    PRIMARY KEY (run_id, variant_id, prompt_id)
);

-- One row: the graded effect of a patched set on one data set ('*': all of a run with several). NULL where it is
-- undefined, and the last ones without random controls.
CREATE TABLE margin_effects (
    run_id              INTEGER NOT NULL,
    variant_id          INTEGER NOT NULL,
    dataset             VARCHAR NOT NULL,
    n_prompts           INTEGER NOT NULL,
    n_same              INTEGER NOT NULL,
    mean_recipient      DOUBLE NOT NULL,
    mean_donor          DOUBLE NOT NULL,
    mean_patched        DOUBLE NOT NULL,
    gap                 DOUBLE NOT NULL,
    gap_ci_low          DOUBLE,
    gap_ci_high         DOUBLE,
    change              DOUBLE NOT NULL,
    change_ci_low       DOUBLE,
    change_ci_high      DOUBLE,
    effect              DOUBLE,
    ci_low              DOUBLE,
    ci_high             DOUBLE,
    n_crossed           INTEGER NOT NULL,
    control_kind        VARCHAR,
    n_controls          INTEGER,
    controls_difference DOUBLE,
    controls_difference_ci_low  DOUBLE,
    controls_difference_ci_high DOUBLE,
    controls_p_value    DOUBLE,
    confidence          DOUBLE NOT NULL,
    PRIMARY KEY (run_id, variant_id, dataset)
);
