-- Purpose: The sets that hold a neuron, of models of one shape: named ones, and those of patch runs.
WITH holding AS (
    SELECT set_id FROM neuron_set_members
    WHERE layer = $layer AND neuron = $neuron AND expert IS NOT DISTINCT FROM $expert
),
patched AS (
    SELECT 'patch' AS kind, runs.name AS run, v.name AS "set", v.n_neurons, v.control_of IS NOT NULL AS control
    FROM variants AS v SEMI JOIN holding USING (set_id) JOIN runs USING (run_id)
    WHERE runs.kind = 'patch' AND EXISTS (
        FROM run_models AS rm JOIN models AS m USING (model_id)
        WHERE rm.run_id = v.run_id AND m.n_layers = $n_layers AND m.n_neurons = $n_neurons
    )
),
saved AS (
    SELECT 'saved' AS kind, NULL AS run, '@' || n.name AS "set", s.n_neurons, false AS control
    FROM named_sets AS n SEMI JOIN holding USING (set_id) JOIN neuron_sets AS s USING (set_id)
    WHERE n.n_layers = $n_layers AND n.n_neurons = $n_neurons AND n.n_experts = $n_experts
)
FROM saved UNION ALL FROM patched ORDER BY control, kind DESC, run, n_neurons, "set"
