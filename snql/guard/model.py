"""A guard: a logistic regression on chosen neurons at the last prompt token (arXiv 2406.14144, section 6)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from snql.distribution import own_version
from snql.guard import files
from snql.guard.attached import Attached
from snql.guard.options import THRESHOLD
from snql.guard.parts import Array, Linear, Template
from snql.neurons.sets import NeuronSet


@dataclass(frozen=True, eq=False)
class Guard:
    """A trained guard.

    neurons: those that it reads, of ``linear`` in the order of their ids. threshold: a prompt is refused from this
    probability of a harmful answer on. model, model_id: spec and identity of the model that it was trained on. facts:
    how it was trained, as JSON holds it. snql_version: what trained it.
    """

    neurons: NeuronSet
    linear: Linear
    model: str
    model_id: str
    template: Template = field(default_factory=Template)
    threshold: float = THRESHOLD
    facts: dict[str, Any] = field(default_factory=dict)
    snql_version: str = field(default_factory=own_version)

    def probabilities(self, activations: npt.NDArray[Any]) -> Array:
        """Of a harmful answer, from activations at the last prompt token: Float["rows neurons"] to Float64["rows"]."""
        return self.linear.probabilities(activations)

    @classmethod
    def of(cls, words: dict[str, Any], neurons: NeuronSet, linear: Linear) -> "Guard":
        """A guard from what :meth:`words` gave, and its numbers."""
        template, threshold = Template(**words["template"]), float(words["threshold"])
        same = {name: words[name] for name in ("model", "model_id", "facts", "snql_version")}
        return cls(neurons, linear, template=template, threshold=threshold, **same)

    def words(self) -> dict[str, Any]:
        """All of a guard but its numbers, as JSON."""
        return {
            "format": files.FORMAT,
            "snql_version": self.snql_version,
            "model": self.model,
            "model_id": self.model_id,
            "shape": asdict(self.neurons.shape),
            "n_neurons": len(self.neurons),
            "template": asdict(self.template),
            "threshold": self.threshold,
            "facts": self.facts,
        }

    def save(self, folder: str | Path) -> None:
        """Write ``guard.safetensors`` and ``guard.json`` into a folder, which is made if need be."""
        files.write(Path(folder), self.words(), self.neurons, self.linear)

    @classmethod
    def load(cls, folder: str | Path) -> "Guard":
        """Read a saved guard; raises InputError if a file is missing, malformed, or of a newer format."""
        return cls.of(*files.read(Path(folder)))

    def attach(
        self,
        model: Any,
        *,
        refusal: Sequence[int] = (),
        prefix: Sequence[int] = (),
        threshold: float | None = None,
    ) -> Attached:
        """Watch a Hugging Face causal model within a ``with`` block; see :class:`snql.guard.attached.Attached`.

        refusal: token ids that a refused prompt is answered with, then the end of the sequence. prefix: instead, token
        ids with which its answer is made to begin. threshold: instead of the guard's own. Raises InputError for both,
        and ModelError if the model has other numbers of layers and neurons.
        """
        least = self.threshold if threshold is None else threshold
        return Attached(self.neurons, self.linear, model, refusal, prefix, least)
