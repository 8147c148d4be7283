"""A guard: a logistic regression on chosen neurons at the last prompt token (arXiv 2406.14144, section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from snql.errors import RunError
from snql.neurons.sets import NeuronSet

if TYPE_CHECKING:
    from snql.guard.attached import Attached

Array = npt.NDArray[np.float64]
THRESHOLD = 0.5


@dataclass(frozen=True)
class Template:
    """How prompts were put to the model: chat, tulu or plain; ``chat_template`` replaces the tokenizer's own."""

    template: str = "plain"
    chat_template: str | None = None
    system: str | None = None
    response_prefix: str = ""


@dataclass(frozen=True)
class Linear:
    """The numbers of one classifier, each of shape (neurons,) but the intercept; see :meth:`logits`."""

    weights: Array
    means: Array
    scales: Array
    intercept: float

    def logits(self, activations: npt.NDArray[Any]) -> Array:
        """``intercept + sum of weights * (activation - means) / scales``: Float["rows neurons"] to Float64["rows"]."""
        standard = (activations.astype(np.float64) - self.means) / self.scales
        logits: Array = standard @ self.weights + self.intercept
        return logits

    def probabilities(self, activations: npt.NDArray[Any]) -> Array:
        """Of a harmful answer: Float["rows neurons"] to Float64["rows"]. Raises RunError for one that is not finite."""
        found: Array = expit(self.logits(activations))
        if not np.isfinite(found).all():
            raise RunError("an activation that the guard reads is not finite: the weights or this dtype are unsound")
        return found

    def folded(self) -> tuple[Array, float]:
        """Weights and intercept for activations as they are: the logit is ``intercept + activations @ weights``."""
        weights = self.weights / self.scales
        return weights, self.intercept - float(weights @ self.means)


@dataclass(frozen=True, eq=False)
class Guard:
    """A trained guard.

    neurons: those that it reads, of ``linear`` in the order of their ids. threshold: a prompt is refused from this
    probability of a harmful answer on. model, model_id: spec and identity of the model that it was trained on. facts:
    how it was trained, as JSON holds it. snql_version: what saved it.
    """

    neurons: NeuronSet
    linear: Linear
    model: str
    model_id: str
    template: Template = field(default_factory=Template)
    threshold: float = THRESHOLD
    facts: dict[str, Any] = field(default_factory=dict)
    snql_version: str = ""

    def probabilities(self, activations: npt.NDArray[Any]) -> Array:
        """Of a harmful answer, from activations at the last prompt token: Float["rows neurons"] to Float64["rows"]."""
        return self.linear.probabilities(activations)

    def save(self, folder: str | Path) -> None:
        """Write ``guard.safetensors`` and ``guard.json`` into a folder, which is made if need be."""
        from snql.guard.files import save

        save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> "Guard":
        """Read a saved guard; raises InputError if a file is missing, malformed, or of a newer format."""
        from snql.guard.files import load

        return load(Path(folder))

    def attach(
        self,
        model: Any,
        *,
        refusal: Sequence[int] = (),
        prefix: Sequence[int] = (),
        threshold: float | None = None,
    ) -> "Attached":
        """Watch a Hugging Face causal model within a ``with`` block; see :class:`snql.guard.attached.Attached`.

        refusal: token ids that a refused prompt is answered with, then the end of the sequence. prefix: instead, token
        ids with which its answer is made to begin. threshold: instead of the guard's own. Raises InputError for both,
        and ModelError if the model has other numbers of layers and neurons.
        """
        from snql.guard.attached import Attached

        return Attached(self, model, refusal, prefix, self.threshold if threshold is None else threshold)
