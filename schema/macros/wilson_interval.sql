-- Purpose: 95% interval of a share that was counted (Wilson 1927): right for few cases, and where all or none have it.
-- Grain:   a struct of its two ends, low and high, each between 0 and 1.
-- Parameters:
--   k: how many have it
--   n: of how many
-- Caveats: for independent cases. NULL where n is 0.
-- Example: SELECT wilson_interval(17, 40)
CREATE OR REPLACE MACRO wilson_interval(k, n) AS (
    CASE WHEN n > 0 THEN {
        'low': greatest(0, (k + 1.959963984540054 ** 2 / 2
            - 1.959963984540054 * sqrt(k * (n - k) / n + 1.959963984540054 ** 2 / 4)) / (n + 1.959963984540054 ** 2)),
        'high': least(1, (k + 1.959963984540054 ** 2 / 2
            + 1.959963984540054 * sqrt(k * (n - k) / n + 1.959963984540054 ** 2 / 4)) / (n + 1.959963984540054 ** 2))
    } END
);
