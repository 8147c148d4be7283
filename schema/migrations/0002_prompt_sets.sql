-- What became of the rows of the prompt sets that a run read.

-- One row: one data set of one run. n_rows is the sum of the counts after it; the steps are in the order in which they
-- were taken. n_filtered: not chosen by --where; n_blank: without text; n_duplicates: repeated in the set or in an
-- earlier one of the run; n_overlapping: left out because a run in disjoint_from used the same text; n_unsampled: not in
-- the --sample; n_cut: after --limit; n_kept: given to the models.
CREATE TABLE run_prompt_sets (
    run_id          INTEGER NOT NULL,
    ordinal         INTEGER NOT NULL,
    dataset         VARCHAR NOT NULL,
    n_rows          INTEGER NOT NULL,
    n_filtered      INTEGER NOT NULL,
    n_blank         INTEGER NOT NULL,
    n_duplicates    INTEGER NOT NULL,
    n_overlapping   INTEGER NOT NULL,
    n_unsampled     INTEGER NOT NULL,
    n_cut           INTEGER NOT NULL,
    n_kept          INTEGER NOT NULL,
    disjoint_from   VARCHAR[] NOT NULL
);
