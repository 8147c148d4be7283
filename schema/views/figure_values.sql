-- Purpose: the value vectors of each lens run in the order of a ranking, with their tokens: the table `value-vectors`.
-- Grain:   one row per finished lens run and neuron.
-- Key:     run, place
-- Columns:
--   run -> runs.name: the lens run
--   place: 1 for the best by rank; by layer and neuron where there is no rank
--   rank: the neuron's rank in located_by; NULL where that has none, or there is none
--   located_by -> runs.name: locate run that the neurons' expression begins with; NULL if it begins otherwise
--   layer: layer of the neuron, from 0
--   neuron: place of the neuron in its layer or expert, from 0
--   norm: Euclidean norm of the down-projection's column
--   refusal_cosine: cosine with the refusal direction; NULL without one
--   refusal_percentile [percent]: neurons of the layer with a lower cosine; NULL without a direction
--   chance_deviation: standard deviation of the cosine of a random vector
--   n_harmful [prompts]: harmful prompts behind the direction
--   n_harmless [prompts]: harmless prompts behind it
--   promotes: tokens with the highest logits, the highest first
--   suppresses: tokens with the lowest logits, the lowest first
--   model: spec of the model
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   run_id -> runs.run_id: the run
-- Units:   as in value_vectors.
-- Caveats: located_by is looked up by its name: a run that was replaced since shows its new ranks.
CREATE OR REPLACE VIEW figure_values AS
WITH listed AS (
    SELECT run_id, layer, expert, neuron,
        list(token ORDER BY place) FILTER (effect = 'promotes') AS promotes,
        list(token ORDER BY place) FILTER (effect = 'suppresses') AS suppresses
    FROM value_tokens
    GROUP BY run_id, layer, expert, neuron
),
sources AS (
    SELECT r.run_id, l.run AS located_by, l.run_id AS locate_id
    FROM runs AS r
    JOIN locate_runs AS l ON l.run = regexp_extract(r.config ->> '$.neurons', '^\s*([A-Za-z][\w.-]*)(:|\s|$)', 1)
    WHERE r.kind = 'lens'
)
SELECT
    v.run,
    row_number() OVER (PARTITION BY v.run_id ORDER BY n.rank NULLS LAST, v.layer, v.expert, v.neuron) AS place,
    n.rank,
    s.located_by,
    v.layer,
    v.neuron,
    v.norm,
    v.refusal_cosine,
    v.refusal_percentile,
    v.chance_deviation,
    v.n_harmful,
    v.n_harmless,
    t.promotes,
    t.suppresses,
    v.model,
    v.expert,
    v.run_id
FROM value_vectors AS v
LEFT JOIN listed AS t
    ON t.run_id = v.run_id AND t.layer = v.layer AND t.neuron = v.neuron AND t.expert IS NOT DISTINCT FROM v.expert
LEFT JOIN sources AS s ON s.run_id = v.run_id
LEFT JOIN neuron_statistics AS n
    ON n.run_id = s.locate_id AND n.layer = v.layer AND n.neuron = v.neuron AND n.expert IS NOT DISTINCT FROM v.expert;
