-- How sure change scores are: sums per prompt, from which scores of any choice of prompts follow, and bootstrap intervals.

-- One row: what one prompt adds to the change score of one neuron: the sum of squared differences over its scored tokens.
-- Written by runs with --bootstrap only; neurons that none of the prompt's tokens reached have no row.
CREATE TABLE prompt_sums (
    run_id              INTEGER NOT NULL,
    layer               SMALLINT NOT NULL,
    expert              SMALLINT,
    neuron              INTEGER NOT NULL,
    prompt_id           INTEGER NOT NULL,
    n_tokens            INTEGER NOT NULL,
    squared_differences REAL NOT NULL
);

-- One row: the bootstrap of one neuron's change score over the prompts of its run. top_share: in how many of the resamples
-- the neuron is among the top 5 % of the ranked neurons; NULL for neurons that are not ranked.
CREATE TABLE score_intervals (
    run_id          INTEGER NOT NULL,
    layer           SMALLINT NOT NULL,
    expert          SMALLINT,
    neuron          INTEGER NOT NULL,
    ci_low          DOUBLE NOT NULL,
    ci_high         DOUBLE NOT NULL,
    standard_error  DOUBLE NOT NULL,
    top_share       DOUBLE
);

-- Scores that were made by another program tell no number of tokens.
ALTER TABLE neuron_statistics ALTER COLUMN n_tokens DROP NOT NULL;
