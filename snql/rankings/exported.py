"""``snql neurons EXPR -o FILE``: a set as a file that other programs read, and ``snql db import-scores`` again.

Each neuron has its score in the first run that the expression ranks by, if every one has; else the file is a plain set.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db.connection import Database
from snql.db.durable import written
from snql.db.scores import read_run_scores, read_shape
from snql.errors import InputError
from snql.neurons.sets import NeuronSet, neuron_name
from snql.neurons.syntax import parse
from snql.rankings.evaluate import Evaluator, first_located
from snql.rankings.shapes import shape_of
from snql.writing.formats import render

Scores = npt.NDArray[np.float64] | None


def export_set(db: Database, expression: str, file: Path, *, like: str | None = None) -> NeuronSet:
    """Write the neurons that an expression names, and their scores, to a file of one of ENDINGS; returns them.

    like: a locate run of the model that is meant, where the expression names none; the scores are of this run, too.
    Raises InputError where the model is not known, the set is empty, or the file cannot be written; ExpressionError as
    evaluating does.
    """
    make = ENDINGS.get(file.suffix.lower())
    if make is None:
        raise InputError(f"`output` {file} has no ending that sets are written with: use {', '.join(ENDINGS)}")
    with db.reading():
        shape = read_shape(db, like) if like is not None else shape_of(db, expression)
        if shape is None:
            raise InputError(f"of which model is {expression!r}? name a locate run of it with `run`")
        members = Evaluator(db, shape).evaluate(expression)
        run = like or first_located(db, parse(expression))
        scores = None if run is None else read_run_scores(db, run).scores[members.ids]
    if not len(members):
        raise InputError(f"neuron expression {expression!r} names no neuron: there is nothing to write")
    data = make(expression, members, None if scores is None or np.isnan(scores).any() else scores)
    try:
        with written(file, db.path) as target:
            target.write(data)
    except OSError as error:
        raise InputError(f"`output` {file} cannot be written: {error.strerror or error}") from error
    return members


def _rows(members: NeuronSet, scores: Scores) -> pl.DataFrame:
    """Layer, expert in a mixture of experts, neuron, and score where it is known: the best first."""
    columns = {"layer": members.layers, "expert": members.experts, "neuron": members.neurons, "score": scores}
    frame = pl.DataFrame({name: values for name, values in columns.items() if values is not None})
    return frame if scores is None else frame.sort("score", descending=True, maintain_order=True)


def _csv(_: str, members: NeuronSet, scores: Scores) -> bytes:
    return render(_rows(members, scores), "csv")


def _json(expression: str, members: NeuronSet, scores: Scores) -> bytes:
    head = {"expression": expression} | vars(members.shape)
    rows = ",\n".join(f"  {json.dumps(row)}" for row in _rows(members, scores).to_dicts())
    return f'{json.dumps(head)[:-1]}, "neurons": [\n{rows}\n]}}\n'.encode()


def _text(_: str, members: NeuronSet, scores: Scores) -> bytes:
    named = [
        (neuron_name(row["layer"], row["neuron"], row.get("expert")), row.get("score"))
        for row in _rows(members, scores).to_dicts()
    ]
    return "".join(f"{name}\n" if score is None else f"{name} {score!r}\n" for name, score in named).encode()


def _safetensors(expression: str, members: NeuronSet, scores: Scores) -> bytes:
    """``scores``, NaN outside the set, or ``mask``: of (layers, neurons), or (layers, experts, neurons)."""
    from safetensors.numpy import save

    shape = members.shape
    parts = (shape.n_layers, *((shape.n_experts,) if shape.routed else ()), shape.per_expert)
    whole = np.zeros(shape.size, dtype=np.bool_) if scores is None else np.full(shape.size, np.nan)
    whole[members.ids] = True if scores is None else scores
    name = "mask" if scores is None else "scores"
    return save({name: whole.reshape(parts)}, {"expression": expression, "n_neurons": str(len(members))})


ENDINGS: dict[str, Callable[[str, NeuronSet, Scores], bytes]] = {
    ".json": _json,
    ".csv": _csv,
    ".txt": _text,
    ".safetensors": _safetensors,
}
