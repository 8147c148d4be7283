-- Purpose: The sets that have a name.
SELECT
    n.name,
    s.n_neurons,
    (SELECT count(DISTINCT layer) FROM neuron_set_members AS m WHERE m.set_id = n.set_id) AS n_layers_used,
    n.n_layers || ' x ' || n.n_neurons AS model,
    n.expression,
    n.created_at
FROM named_sets AS n JOIN neuron_sets AS s USING (set_id)
ORDER BY n.name
