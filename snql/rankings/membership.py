"""Where the neurons of a set stand in the rankings of runs."""

import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.neurons.sets import NeuronSet


def in_rankings(db: Database, members: NeuronSet) -> pl.DataFrame:
    """A row for each finished locate run of models of the set's shape, in order of their start.

    run_id, run, n_ranked, n_members (those that it ranks), n_shared (those among its top len(members)), share
    (n_shared / len(members)), chance (that of a random set of as many), best_rank and median_rank.
    """
    return _about(db, members, "sets_in_rankings", {"k": len(members)})


def first_members(db: Database, members: NeuronSet, run_id: int, most: int) -> pl.DataFrame:
    """The members that a run ranks highest: name, rank, score, mean_before, std_before, mean_after, std_after,
    mean_difference."""
    return _about(db, members, "members_in_run", {"run_id": run_id, "limit": most})


def _about(db: Database, members: NeuronSet, query: str, given: dict[str, object]) -> pl.DataFrame:
    shape = members.shape
    experts = pl.Series("expert", members.experts if members.experts is not None else [None] * len(members), pl.Int16)
    places = pl.DataFrame(
        [pl.Series("layer", members.layers, pl.Int16), experts, pl.Series("neuron", members.neurons, pl.Int32)]
    )
    sizes = {"n_all": shape.size, "n_layers": shape.n_layers} if query == "sets_in_rankings" else {}
    with db.reading() as connection:
        connection.register("chosen_neurons", places)
        try:
            frame: pl.DataFrame = connection.sql(scripts.query(query), params={**given, **sizes}).pl()
        finally:
            connection.unregister("chosen_neurons")
    return frame
