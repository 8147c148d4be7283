-- Patch runs with several samples a prompt, with what unpatched models would have written at each step, with controls of
-- two kinds, and without a donor; neuron sets under names of their own.

-- Which of a prompt's samples a completion and its scores are of, from 0.
ALTER TABLE completions ADD COLUMN sample INTEGER DEFAULT 0;
ALTER TABLE judgements ADD COLUMN sample INTEGER DEFAULT 0;

-- Of a patched completion, a token for each of its steps: what the model that gave activations, and what the patched model
-- without its patch, would have written next on the same text. NULL where it was not asked.
ALTER TABLE completions ADD COLUMN donor_ids INTEGER[];
ALTER TABLE completions ADD COLUMN unpatched_ids INTEGER[];

-- matched: as many neurons in each layer as the set; anywhere: as many in all. NULL for variants that are no control.
ALTER TABLE variants ADD COLUMN control_kind VARCHAR;
UPDATE variants SET control_kind = 'matched' WHERE control_seed IS NOT NULL;

-- NULL in runs without a donor.
ALTER TABLE effects ALTER COLUMN mean_donor DROP NOT NULL;
ALTER TABLE effects ALTER COLUMN gap DROP NOT NULL;
ALTER TABLE effects ALTER COLUMN gap_ci_low DROP NOT NULL;
ALTER TABLE effects ALTER COLUMN gap_ci_high DROP NOT NULL;

-- One row: a patched set against its random controls of one kind, on one data set under one judge. difference: mean over
-- prompts of the set's score minus the mean of its controls'; effect_difference: that divided by the donor-recipient gap.
CREATE TABLE control_effects (
    run_id                  INTEGER NOT NULL,
    variant_id              INTEGER NOT NULL,
    judge                   VARCHAR NOT NULL,
    dataset                 VARCHAR NOT NULL,
    control_kind            VARCHAR NOT NULL,
    n_controls              INTEGER NOT NULL,
    n_prompts               INTEGER NOT NULL,
    mean_controls           DOUBLE NOT NULL,
    difference              DOUBLE NOT NULL,
    difference_ci_low       DOUBLE NOT NULL,
    difference_ci_high      DOUBLE NOT NULL,
    t                       DOUBLE,
    t_p_value               DOUBLE,
    permutation_p_value     DOUBLE NOT NULL,
    permutations            INTEGER NOT NULL,
    effect_difference       DOUBLE,
    effect_difference_ci_low DOUBLE,
    effect_difference_ci_high DOUBLE,
    confidence              DOUBLE NOT NULL,
    resamples               INTEGER NOT NULL,
    seed                    BIGINT NOT NULL
);

-- One row: a neuron set that a user named, to be written as @name in expressions; of models of one shape.
CREATE TABLE named_sets (
    name            VARCHAR PRIMARY KEY,
    set_id          INTEGER NOT NULL,
    expression      VARCHAR NOT NULL,
    n_layers        INTEGER NOT NULL,
    n_neurons       INTEGER NOT NULL,
    n_experts       INTEGER NOT NULL,
    created_at      TIMESTAMP NOT NULL
);
