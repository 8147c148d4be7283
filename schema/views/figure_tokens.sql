-- Purpose: the activations of a run's first kept neurons over the tokens of one text, before and after: `tokens`.
-- Grain:   one row per finished locate run with token-level activations, position of one text, and kept neuron.
-- Key:     run, position, place
-- Columns:
--   run -> runs.name: the locate run
--   position: place in prompt and completion, from 0 at the first prompt token
--   token: the token that is read at the position, as text
--   place: 1 for the kept neuron with the highest score, then 2 and 3
--   layer: layer of the neuron, from 0
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   neuron: place of the neuron in its layer or expert, from 0
--   before [activation]: under the model before
--   after [activation]: under the model after
--   rank: the neuron's, 1 for the highest score; NULL where it is not ranked
--   score [activation]: change score of the neuron over all prompts
--   prompt_id -> prompts.prompt_id: whose text it is
--   dataset: name of the prompt set
--   n_prompt [tokens]: length of the prompt: positions before it are the prompt's
--   n_scored [tokens]: scored positions of the text
--   n_kept [neurons]: kept neurons of the run
-- Units:   before and after as in token_activations.
-- Caveats: one text a run: the run's first prompt with at least 12 scored positions, without one that with the most.
--          Of it the first 64 scored positions; of the kept neurons the three with the highest scores, ranked ones
--          first. Nothing is chosen by how the activations look. Runs that do not say which neurons they kept (made by
--          old versions) are not here.
CREATE OR REPLACE VIEW figure_tokens AS
WITH kept AS (
    SELECT
        r.run_id,
        r.name AS run,
        m.layer,
        m.expert,
        m.neuron,
        s.rank,
        s.score,
        count(*) OVER (PARTITION BY r.run_id) AS n_kept,
        row_number() OVER (
            PARTITION BY r.run_id ORDER BY s.rank NULLS LAST, s.score DESC NULLS LAST, s.layer, s.expert, s.neuron
        ) AS place
    FROM runs AS r
    JOIN neuron_set_members AS m ON m.set_id = r.kept_set_id
    JOIN neuron_statistics AS s
        ON s.run_id = r.run_id AND s.layer = m.layer AND s.neuron = m.neuron AND s.expert IS NOT DISTINCT FROM m.expert
    WHERE r.kind = 'locate' AND r.status = 'done'
    QUALIFY place <= 3
),
lengths AS (
    SELECT t.run_id, t.prompt_id, count(*) AS n_scored
    FROM scored_tokens AS t
    SEMI JOIN kept USING (run_id)
    GROUP BY t.run_id, t.prompt_id
),
chosen AS (
    SELECT l.run_id, l.prompt_id, l.n_scored, len(p.input_ids) AS n_prompt
    FROM lengths AS l
    JOIN run_prompts AS p USING (run_id, prompt_id)
    QUALIFY row_number() OVER (PARTITION BY l.run_id ORDER BY least(l.n_scored, 12) DESC, p.ordinal) = 1
),
positions AS (
    SELECT t.run_id, t.token_index, t.prompt_id, t.position, t.token, c.n_scored, c.n_prompt
    FROM scored_tokens AS t
    JOIN chosen AS c USING (run_id, prompt_id)
    QUALIFY row_number() OVER (PARTITION BY t.run_id ORDER BY t.position) <= 64
),
places AS (
    SELECT DISTINCT run_id, layer, neuron FROM kept
),
stored AS (
    -- First by neuron alone: a join with so few rows lets DuckDB skip the rows of all other neurons.
    SELECT a.run_id, a.layer, a.expert, a.neuron, a.token_index, a.before, a.after
    FROM activation_rows AS a
    JOIN places AS p ON p.run_id = a.run_id AND p.layer = a.layer AND p.neuron = a.neuron
    UNION ALL
    SELECT a.run_id, a.layer, a.expert, a.neuron, a.token_index, a.before, a.after
    FROM activation_shards() AS a
    JOIN places AS p ON p.run_id = a.run_id AND p.layer = a.layer AND p.neuron = a.neuron
)
SELECT
    k.run,
    p.position,
    p.token,
    k.place,
    k.layer,
    k.expert,
    k.neuron,
    s.before,
    s.after,
    k.rank,
    k.score,
    p.prompt_id,
    prompts.dataset,
    p.n_prompt,
    p.n_scored,
    k.n_kept
FROM stored AS s
JOIN positions AS p USING (run_id, token_index)
JOIN kept AS k
    ON k.run_id = s.run_id AND k.layer = s.layer AND k.neuron = s.neuron AND k.expert IS NOT DISTINCT FROM s.expert
LEFT JOIN prompts USING (prompt_id);
