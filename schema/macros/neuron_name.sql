-- Purpose: how a neuron is written in neuron expressions, such as L12.N345, or L12.E3.N345 in a mixture of experts.
-- Grain:   a text.
-- Parameters:
--   layer: layer of the neuron, from 0
--   expert: expert of the neuron, from 0; NULL outside mixture-of-experts models
--   neuron: place of the neuron in its layer or expert, from 0
-- Example: SELECT neuron_name(12, NULL, 345)
CREATE OR REPLACE MACRO neuron_name(layer, expert, neuron) AS (
    'L' || layer || CASE WHEN expert IS NULL THEN '' ELSE '.E' || expert END || '.N' || neuron
);
