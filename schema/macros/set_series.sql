-- Purpose: a neuron expression without its sizes, as the steps of a sweep have in common; windows of ranks stay.
-- Grain:   a text.
-- Parameters:
--   neurons: a neuron expression, such as safety:5%
-- Example: SELECT set_series('safety:5% - helpful:5%')
CREATE OR REPLACE MACRO set_series(neurons) AS (
    CASE
        WHEN contains(neurons, '..') THEN neurons
        ELSE regexp_replace(
            regexp_replace(regexp_replace(neurons, ':[0-9.]+%?', '', 'g'), '([<>=] *)-?[0-9.]+', '\1…', 'g'),
            'last\([0-9]+ layers?\)', 'last(… layers)', 'g'
        )
    END
);
