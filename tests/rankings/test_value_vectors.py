"""Value vectors that a lens run has read, for models of one shape."""

from snql.db.connection import Database

from ..db.filled import fill


def test_vectors_are_those_of_models_of_that_shape(db: Database) -> None:
    with db.write() as connection:
        fill(connection)
    ((n_layers, n_neurons),) = db.rows(
        "SELECT DISTINCT n_layers, n_neurons FROM value_vectors JOIN run_models USING (run_id) "
        "JOIN models USING (model_id)"
    )
    query = "SELECT count(*), count(DISTINCT (layer, expert, neuron)) FROM latest_vectors($layers, $neurons)"

    def found(layers: int, neurons: int) -> tuple[int, int]:
        (row,) = db.rows(query, {"layers": layers, "neurons": neurons})
        return row

    n_rows, n_distinct = found(n_layers, n_neurons)
    assert n_rows == n_distinct > 0
    assert found(n_layers, n_neurons + 1) == found(n_layers + 1, n_neurons) == (0, 0)
