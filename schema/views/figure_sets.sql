-- Purpose: the patched sets of finished runs, what they were made from, and which of them charts show first.
-- Grain:   one row per finished patch run and patched set (random controls are not here).
-- Key:     run_id, variant_id
-- Columns:
--   run -> runs.name: the patch run
--   variant: name of the patched set
--   neurons: expression of the patched set
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   series: expression of the set without its size; in a run by both routes that of the direct one says so
--   source -> runs.name: locate run whose ranking the set is a part of; NULL for any other expression
--   low: where the part begins, the rank before its first; 0 for the top of the ranking; NULL without a source
--   high: where the part ends; NULL without a source
--   in_percent: whether low and high are percentages of the ranked neurons, not ranks; NULL without a source
--   is_window: whether the part is written as a window, such as safety:5%..10%; NULL without a source
--   recipient: spec of the recipient
--   donor: spec of the donor; NULL without a donor
--   mode: what chosen neurons become, such as donor or zero
--   frozen: whether the donor writes, with neurons of the recipient
--   setup: hash of the prompts and of all settings but the patched sets: equal where effects can be compared
--   headline: whether charts with one set a series show this one
--   run_id -> runs.run_id: the run
--   variant_id -> variants.variant_id: the patched set
-- Units:   low and high are as written: percentages or ranks, see in_percent.
-- Caveats: series keeps windows of ranks (5%..10%) apart, while the steps of a sweep have one. source is the name that
--          was written: a locate run that was replaced since has another ranking. headline marks one set per series:
--          the one written as 5% if its effect is defined or the run has no donor, else the largest with a defined
--          effect, else the largest. setup knows prompts by their numbers and models by their specs.
CREATE OR REPLACE VIEW figure_sets AS
WITH read AS (
    SELECT run_id, md5(string_agg(prompt_id, ',' ORDER BY prompt_id)) AS prompts FROM run_prompts GROUP BY run_id
),
measured AS (
    SELECT
        e.run_id,
        e.variant_id,
        e.effect IS NOT NULL AS defined,
        e.gap IS NULL AS donorless,
        judges.position AS judge_position,
        e.dataset = '*' OR count(DISTINCT e.dataset) OVER (PARTITION BY e.run_id) = 1 AS pooled
    FROM effects AS e
    JOIN figure_judges AS judges USING (run_id, judge)
),
sets AS (
    SELECT
        runs.name AS run,
        v.name AS variant,
        v.neurons,
        v.n_neurons,
        v.fraction,
        coalesce(set_series(v.neurons), v.name) || CASE WHEN v.route = 'direct' THEN ' (direct)' ELSE '' END AS series,
        regexp_extract(
            v.neurons,
            '^\s*([A-Za-z][A-Za-z0-9_.\-]*)\s*:\s*([0-9]+(?:\.[0-9]+)?)(%?)(?:\.\.\s*([0-9]+(?:\.[0-9]+)?)%?)?\s*$',
            ['source', 'first', 'percent', 'second']
        ) AS part,
        runs.config,
        CASE v.route
            WHEN 'total' THEN 'donor'
            WHEN 'direct' THEN 'donor-weights'
            ELSE coalesce(runs.config ->> '$.mode', 'donor')
        END AS mode,
        v.run_id,
        v.variant_id
    FROM variants AS v
    JOIN runs USING (run_id)
    WHERE runs.kind = 'patch' AND runs.status = 'done' AND v.role = 'patched' AND v.control_of IS NULL
),
preferred AS (
    SELECT
        run_id,
        variant_id,
        row_number() OVER (
            PARTITION BY run_id, series
            ORDER BY
                judge_position,
                pooled DESC,
                (defined OR donorless) AND regexp_matches(neurons, ':5(\.0*)?%$') DESC NULLS LAST,
                defined DESC,
                n_neurons DESC NULLS LAST,
                variant_id
        ) = 1 AS headline
    FROM sets
    JOIN measured USING (run_id, variant_id)
    QUALIFY headline
)
SELECT
    run,
    variant,
    neurons,
    n_neurons,
    fraction,
    series,
    nullif(part.source, '') AS source,
    CASE WHEN part.source = '' THEN NULL WHEN part.second = '' THEN 0 ELSE TRY_CAST(part.first AS DOUBLE) END AS low,
    TRY_CAST(CASE WHEN part.second = '' THEN part.first ELSE part.second END AS DOUBLE) AS high,
    CASE WHEN part.source <> '' THEN part.percent = '%' END AS in_percent,
    CASE WHEN part.source <> '' THEN part.second <> '' END AS is_window,
    config ->> '$.recipient' AS recipient,
    config ->> '$.donor' AS donor,
    mode,
    coalesce(config ->> '$.freeze' = 'true', false) AS frozen,
    md5(list_concat(
        [prompts, mode],
        config ->> [
            '$.recipient', '$.donor', '$.freeze', '$.steps', '$.first', '$.temperature', '$.top_p',
            '$.samples', '$.max_new_tokens', '$.template', '$.system', '$.response_prefix', '$.dtype', '$.quantize'
        ],
        [CASE WHEN TRY_CAST(config ->> '$.temperature' AS DOUBLE) > 0 OR mode LIKE 'noise%'
            THEN config ->> '$.seed' END]
    )::VARCHAR) AS setup,
    coalesce(headline, false) AS headline,
    run_id,
    variant_id
FROM sets
LEFT JOIN read USING (run_id)
LEFT JOIN preferred USING (run_id, variant_id);
