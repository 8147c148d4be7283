"""Training some neurons alone: what belongs to the others stays as it began, bit for bit.

Of IA3 an entry of a layer's vector belongs to a neuron. Of LoRA, B A is added to a projection: a row of B of the
projections into neurons (gate, up), and a column of A of the one out of them (down), belong to a neuron; A of the
former and B of the latter are all neurons' and act through these rows and columns alone. Others' entries are what
makes their update none: 1 of IA3, 0 of LoRA, so that their rows and columns of B A are 0.

Their gradients are 0, so that neither the clipping of gradients nor the moments of the optimizer see them; and what
weight decay takes from them in a step is put back after it.
"""

from collections.abc import Mapping, Sequence
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
class Part:
    """A trained tensor with entries that belong to neurons. name: in PEFT's files. axis: along which they lie.

    others: what the entries of neurons that are not trained are. trained: which are, a truth value for each neuron.
    """

    name: str
    layer: int
    parameter: torch.nn.Parameter
    trained: torch.Tensor
    axis: int
    others: float

    @property
    def neurons(self) -> int:
        """Of the layer."""
        return len(self.trained)

    def frozen(self, tensor: torch.Tensor) -> torch.Tensor:
        """Which entries of a tensor of its shape are not trained."""
        shape = [-1 if axis == self.axis else 1 for axis in range(tensor.ndim)]
        times = tensor.shape[self.axis] // self.neurons  # gate and up in one projection
        return (~self.trained.to(tensor.device)).repeat(times).reshape(shape).expand(tensor.shape)


@dataclass(frozen=True)
class Mask:
    """What is trained of a model's tensors."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "Mask":
        """Put it on tensors that have no gradients yet; entries that are not trained become what they are to stay."""
        for part in parts:
            tensor: Any = part.parameter
            frozen = part.frozen(tensor)
            tensor.register_hook(lambda gradient, frozen=frozen: gradient.masked_fill(frozen, 0.0))
        mask = cls(tuple(parts))
        mask.restore()
        return mask

    @classmethod
    def on(cls, model: PeftModel, members: NeuronSet) -> "Mask":
        """Put it on the vectors of a model that are trained, one a layer."""
        vectors = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
        return cls.of(
            [
                Part(saved_name(name), layer, vector, trained_of(members, layer), 1, 1.0)
                for layer, (name, vector) in enumerate(vectors)
            ]
        )

    def restore(self) -> None:
        """Set all other entries to what they are to stay."""
        with torch.no_grad():
            for part in self.parts:
                part.parameter.masked_fill_(part.frozen(part.parameter), part.others)

    def check(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Raise RunError unless all other entries of these tensors, by name, are what they were, bit for bit."""
        for part in self.parts:
            tensor = tensors[part.name]
            moved = (tensor != part.others) & part.frozen(tensor)
            if moved.any():
                neuron = int(moved.nonzero()[0, part.axis]) % part.neurons
                raise RunError(
                    f"neuron L{part.layer}.N{neuron} was trained, though it was not to be: nothing is written"
                )


def saved_name(name: str) -> str:
    """The name in PEFT's files of a parameter of its adapter \"default\"."""
    return name.replace(".default", "")


def trained_of(members: NeuronSet, layer: int) -> torch.Tensor:
    """Which neurons of a layer are trained: Bool[Tensor, "neurons"]."""
    found = torch.zeros(members.shape.n_neurons, dtype=torch.bool)
    found[torch.from_numpy(members.columns[members.layers == layer])] = True
    return found


class Restoring(TrainerCallback):
    """Puts the other entries back after each step of the optimizer."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        self._mask.restore()
        return control
