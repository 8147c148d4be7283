"""What a guard is made of: the numbers of its classifier, and how prompts were put to its model."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from snql.errors import RunError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Template:
    """How prompts were put to the model: chat, tulu or plain; ``chat_template`` replaces the tokenizer's own.

    special_tokens: whether those in a prompt's text were special. options: variables of the chat template. date: what
    it took for today, if it asked for that.
    """

    template: str = "plain"
    chat_template: str | None = None
    system: str | None = None
    response_prefix: str = ""
    special_tokens: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    date: str | None = None


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
