-- Purpose: the order of the judges of each finished run: charts show one judge at a time, and this says which first.
-- Grain:   one row per finished run and judge that scored it.
-- Key:     run_id, judge
-- Columns:
--   run -> runs.name: the run
--   judge -> judges.judge: the judge
--   position: place of the judge in the run, from 1
--   run_id -> runs.run_id: the run
-- Units:   position counts from 1 = the judge that charts show by default.
-- Caveats: judges stand in the order of the run's configuration; those it does not name follow, by name.
CREATE OR REPLACE VIEW figure_judges AS
WITH measured AS (
    SELECT run_id, judge FROM judgements
    UNION
    SELECT run_id, judge FROM effects
),
placed AS (
    SELECT
        runs.run_id,
        runs.name AS run,
        measured.judge,
        list_position(TRY_CAST(runs.config -> '$.judges' AS VARCHAR[]), measured.judge) AS configured
    FROM measured
    JOIN runs USING (run_id)
    WHERE runs.status = 'done'
)
SELECT
    run,
    judge,
    row_number() OVER (PARTITION BY run_id ORDER BY configured NULLS LAST, judge) AS position,
    run_id
FROM placed;
