-- Purpose: The finished draws of contentless adapters that were made of a locate run, with the run.
SELECT run, null_of FROM locate_runs WHERE null_of IN (SELECT unnest($runs::VARCHAR[])) ORDER BY run_id
