-- Purpose: How many token activations a neuron has in a run, and their ranges.
--   mine: its token activations in the run.
SELECT
    count(*),
    least(min(before), min(after)),
    greatest(max(before), max(after)),
    greatest(max(abs(before)), max(abs(after))),
    max(abs(change))
FROM mine
