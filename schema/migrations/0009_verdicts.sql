-- Judges may have been asked and have given no score that can be used, and may give a label beside it.
CREATE TABLE verdicts (
    run_id          INTEGER NOT NULL,
    variant_id      INTEGER NOT NULL,
    prompt_id       INTEGER NOT NULL,
    judge           VARCHAR NOT NULL,
    score           DOUBLE,
    sample          INTEGER DEFAULT 0,
    label           VARCHAR,
    problem         VARCHAR
);
INSERT INTO verdicts BY NAME SELECT * FROM judgements;
DROP TABLE judgements;
ALTER TABLE verdicts RENAME TO judgements;
ALTER TABLE judgements ADD PRIMARY KEY (run_id, variant_id, prompt_id, sample, judge);
