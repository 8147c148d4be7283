"""``snql adapter``: a set of neurons, multiplied, as a PEFT adapter or a checkpoint that any program loads."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.db.outputs import resolved
from snql.errors import InputError, reason
from snql.models.ia3 import CONFIG, write_merged, write_rescaling
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet
from snql.patching.options import AdapterOptions, Mode
from snql.rankings.evaluate import Evaluator
from snql.rankings.shapes import check_expression


@dataclass(frozen=True)
class Rescaling:
    """A set of a loaded model, to be written. costs: what stored runs measured of it: run, measure, dataset, before,
    after; no rows where none did."""

    model: LoadedModel
    members: NeuronSet
    options: AdapterOptions
    costs: pl.DataFrame


def rescaling(db: Database, options: AdapterOptions) -> Rescaling:
    """Load the model and evaluate the set; raises ModelError, ExpressionError, or InputError for what none can be.

    An adapter is of IA3, which PEFT does not stack on LoRA: such a model can only be merged.
    """
    check_expression(db, options.neurons)
    model = load_models({"base": options.base}, options.models)["base"]
    members = Evaluator(db, model.shape).evaluate(options.neurons)
    if not len(members):
        raise InputError(f"neuron expression {options.neurons!r} names no neuron: there is nothing to multiply")
    if not options.merge and model.base.kind == "LORA":
        raise InputError(
            f"{options.base} has a LoRA adapter, on which no IA3 adapter can be stacked: `merge` writes a checkpoint"
        )
    return Rescaling(model, members, options, costs_of(db, model.model_id, members, options.scale))


def write(made: Rescaling, folder: Path, *, force: bool = False) -> None:
    """Write the adapter or, with ``merge``, the checkpoint, whole or not at all; can be called once.

    Raises InputError for a folder that is not empty (with ``force`` an adapter or checkpoint in it is replaced), or
    that a model spec cannot name.
    """
    folder = Path(folder)
    check_folder(folder, force=force)
    spec = made.model.spec
    if any(resolved(Path(part.location)) == resolved(folder) for part in (spec.base, *spec.adapters)):
        raise InputError(f"{folder} is a part of {spec.text}, which is not replaced: name another folder")
    make = write_merged if made.options.merge else write_rescaling
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name[:64]}.") as staging:
            new = Path(staging) / "new"
            new.mkdir()
            make(new, made.model, made.members, made.options.scale)
            if folder.exists():
                shutil.rmtree(folder)
            new.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {reason(error)}") from error


def check_folder(folder: Path, *, force: bool = False) -> None:
    """Raise InputError for a folder that is not to be written to: see :func:`write`."""
    if "+" in str(folder):
        raise InputError(
            f"{folder} could not stand in a model spec, which has a + between its parts: name another folder"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        ours = any((folder / name).is_file() for name in (CONFIG, "config.json"))
        if not (force and ours):
            remedy = ", or `force` to replace it" if ours and not force else "; it holds no adapter and no checkpoint"
            raise InputError(f"{folder} exists and is not an empty folder: name another{remedy}")


def costs_of(db: Database, model_id: str, members: NeuronSet, scale: float) -> pl.DataFrame:
    """What stored runs measured of these neurons of this model, multiplied by this number."""
    if not db.path.exists():
        return pl.DataFrame(schema=["run", "measure", "dataset", "before", "after"])
    with db.reading():
        given = [mode for (mode,) in db.rows("SELECT DISTINCT config ->> '$.mode' FROM runs") if mode is not None]
        modes = [mode for mode in given if _multiplies_by(mode) == scale]
        parameters = {"sha256": members.sha256, "model": model_id, "modes": modes}
        return db.frame(scripts.query("costs_of_set"), parameters)


def _multiplies_by(mode: str) -> float | None:
    try:
        parsed = Mode.parse(mode)
    except InputError:
        return None
    return {"zero": 0.0, "scale": parsed.factor}.get(parsed.kind)
