"""Training some neurons alone: entries of the vectors that belong to the others stay 1, bit for bit.

Their gradients are 0, so that neither the clipping of gradients nor the moments of the optimizer see them; and what
weight decay takes from them in a step is put back after it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainerCallback

from snql.db.connection import Database
from snql.errors import InputError, RunError
from snql.neurons.sets import NeuronSet, Shape
from snql.rankings.evaluate import Evaluator
from snql.training.options import TrainOptions


def trained_neurons(db: Database | None, options: TrainOptions, shape: Shape) -> NeuronSet | None:
    """The neurons that are trained: ``only`` these, or all but those of ``freeze``; None for all.

    Raises ExpressionError as evaluating does, InputError for an empty set, or without a database to evaluate it in.
    """
    text = options.only or options.freeze
    if text is None:
        return None
    if db is None:
        raise InputError(f"neuron expression {text!r} needs a database: give `db`")
    named = Evaluator(db, shape).evaluate(text)
    members = named if options.only else NeuronSet.all(shape) - named
    if not len(members):
        left = "names no neuron" if options.only else "names every neuron"
        raise InputError(f"neuron expression {text!r} {left}: nothing is left to train")
    return members


@dataclass(frozen=True)
class Mask:
    """What is trained of a model's vectors. parameters: one a layer, with its trained entries, Bool["1 neurons"]."""

    parameters: tuple[tuple[torch.nn.Parameter, torch.Tensor], ...]

    @classmethod
    def on(cls, model: PeftModel, members: NeuronSet) -> "Mask":
        """Put it on the vectors of a model that are trained, one a layer; they have no gradients yet."""
        vectors = [parameter for parameter in model.parameters() if parameter.requires_grad]
        found = []
        for layer, parameter in enumerate(vectors):
            trained = torch.zeros(parameter.shape, dtype=torch.bool, device=parameter.device)
            trained[0, torch.from_numpy(members.columns[members.layers == layer]).to(parameter.device)] = True
            tensor: Any = parameter
            tensor.register_hook(lambda gradient, trained=trained: gradient * trained.to(gradient))
            found.append((parameter, trained))
        return cls(tuple(found))

    def restore(self) -> None:
        """Set all other entries to 1."""
        with torch.no_grad():
            for parameter, trained in self.parameters:
                parameter.masked_fill_(~trained, 1.0)

    def check(self, vectors: list[torch.Tensor]) -> None:
        """Raise RunError unless all other entries of these vectors, one a layer, are 1, bit for bit."""
        for layer, (vector, (_, trained)) in enumerate(zip(vectors, self.parameters, strict=True)):
            moved = (vector.flatten() != 1) & ~trained.flatten().cpu()
            if moved.any():
                neuron = int(moved.nonzero()[0])
                raise RunError(f"neuron L{layer}.N{neuron} was trained, though it was not to be: nothing is written")


class Restoring(TrainerCallback):
    """Puts the other entries back after each step of the optimizer."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        self._mask.restore()
        return control
