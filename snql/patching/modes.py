"""``mode``: from its text to an intervention."""

from collections.abc import Sequence

import torch

from snql.db import records
from snql.db.connection import Database
from snql.db.records import Variant
from snql.db.scores import read_columns, read_shape
from snql.errors import InputError
from snql.neurons.sets import Shape
from snql.patching.interventions import ByRoute, Constant, FromSource, FromWeights, Intervention, Noise, Scaled
from snql.patching.options import DIRECT, SIDES, Mode


def intervention(
    db: Database, mode: Mode, target_id: str, shape: Shape, patched: Sequence[Variant], seed: int
) -> Intervention:
    """The intervention that a mode means for a model, and for the variants that are patched.

    target_id: the model whose neurons are changed. Raises InputError if the run of ``mean`` or ``noise`` is unknown, of
    a model of another shape, or if it is not clear which of its two models' statistics are meant.
    """
    if mode.kind == "donor":
        return FromSource()
    if mode.kind == "donor-weights":
        return FromWeights()
    if mode.kind == "both":
        return ByRoute(frozenset(index for index, variant in enumerate(patched) if variant.route == DIRECT))
    if mode.kind == "zero":
        return Scaled(0.0)
    if mode.kind == "scale" or mode.run is None:
        return Scaled(mode.factor)
    found = read_shape(db, mode.run)
    if found != shape:
        raise InputError(
            f"`mode` {mode.kind}:{mode.run}: the run is of a model with {found} neurons, this one has {shape}"
        )
    side = mode.side or _side(db, mode, target_id)
    if mode.kind == "mean":
        return Constant(torch.from_numpy(read_columns(db, mode.run, f"mean_{side}", shape)))
    deviations = torch.from_numpy(read_columns(db, mode.run, f"std_{side}", shape)).nan_to_num(0.0)
    columns = [variant.members.by_layer() for variant in patched if variant.members is not None]
    return Noise(deviations, mode.factor, seed, columns)


def _side(db: Database, mode: Mode, target_id: str) -> str:
    """Which of the run's models is the one that is patched."""
    ((run_id,),) = db.rows("SELECT run_id FROM runs WHERE kind = 'locate' AND name = ?", [mode.run])
    models = records.read_models(db, run_id)
    sides = [side for side in SIDES if models.get(side) == target_id]
    if not sides:
        raise InputError(
            f"`mode` {mode.kind}:{mode.run}: neither model of the run is the one that is patched: say whose "
            f"statistics, {mode.kind}:{mode.run}:before or {mode.kind}:{mode.run}:after"
        )
    return sides[0]
