-- Purpose: the tokens that neurons' value vectors promote and suppress most.
-- Grain:   one row per finished lens run, neuron, end of the logits and place.
-- Key:     run, layer, expert, neuron, effect, place
-- Columns:
--   run -> runs.name: the lens run
--   layer: layer of the neuron, from 0
--   neuron: place of the neuron in its layer or expert, from 0
--   effect: promotes (the highest logits) or suppresses (the lowest)
--   place: 1 for the most extreme logit
--   token_id: the token
--   token: its text
--   logit [logits]: what an activation of 1 adds to the token's logit, but for a positive factor: docs/lens.md
--   model: spec of the model
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   run_id -> runs.run_id: the run
-- Units:   logits of one neuron can be compared with each other, those of several only within a layer.
-- Caveats: an activation below 0 does the opposite. A token's text alone may be a part of a character.
CREATE OR REPLACE VIEW value_tokens AS
SELECT
    runs.name AS run,
    t.layer,
    t.neuron,
    CASE WHEN t.promoted THEN 'promotes' ELSE 'suppresses' END AS effect,
    t.place,
    t.token_id,
    t.token,
    t.logit,
    runs.config ->> '$.model' AS model,
    t.expert,
    t.run_id
FROM lens_tokens AS t
JOIN runs USING (run_id)
WHERE runs.status = 'done';
