"""What lens runs stored of neurons, for tables and pages."""

import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.neuron_pages.model import Place
from snql.neurons.sets import Shape


def value_rows(db: Database, place: Place, shape: Shape) -> pl.DataFrame:
    """A row for each lens run of models of this shape that has the neuron's value vector."""
    sizes = {"n_layers": shape.n_layers, "n_neurons": shape.n_neurons}
    return db.frame(scripts.query("values_of_neuron"), {**vars(place), **sizes})
