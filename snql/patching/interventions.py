"""What is done to chosen neurons, and where in the text.

An intervention says what a chosen neuron's activation becomes; :class:`Where` at which positions. Both are the same for
all variants of a run, which differ in their neurons.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from snql.generation.sampling import row_generator
from snql.neurons.sets import Ids

SOURCE, TARGET = 0, 1
"""The two models: whose activations or parameters are given, and whose neurons are overwritten."""

_NO_END = 1 << 40


@dataclass(frozen=True)
class Where:
    """At which positions neurons are changed.

    steps: ``prompt`` positions, those of the ``completion``'s own tokens, or ``all``. first: only where one of the
    first so many tokens of the completion is written, None for all; the first token is written at the prompt's last
    position.
    """

    steps: str = "all"
    first: int | None = None

    def positions(self, n_prompt: int) -> range:
        """The positions that are covered in a text whose prompt has so many tokens."""
        start = n_prompt if self.steps == "completion" else 0
        if self.steps == "prompt":
            return range(start, n_prompt)
        return range(start, _NO_END if self.first is None else n_prompt - 1 + self.first)


@dataclass(frozen=True)
class PatchedRow:
    """A row of a batch whose neurons are changed.

    neurons: index of its set; source: the row that reads the same text in the source's batch; length: tokens of its
    text; positions: where it is patched; key, sample: what names it, for noise.
    """

    neurons: int
    source: int
    length: int
    positions: range
    key: str
    sample: int


@dataclass(frozen=True)
class Computed:
    """What a layer has computed for a batch.

    own: the activations, Float[Tensor, "rows tokens neurons"]. source: of the same shape, those of the rows that
    ``rows`` name as theirs, if the source reads. rows: which rows are patched, and how. by_source: computes, of the
    same shape, what the source's parameters make of some rows' own MLP inputs, by their indices, if an intervention
    reads these; other rows keep their own.
    """

    layer: int
    own: torch.Tensor
    source: torch.Tensor | None
    rows: Sequence[PatchedRow | None]
    by_source: Callable[[Sequence[int]], torch.Tensor] | None = None

    def from_parameters(self, rows: Sequence[int]) -> torch.Tensor:
        """What the source's parameters make of some rows, by their indices; others as they are."""
        if self.by_source is None:
            raise ValueError(f"layer {self.layer}: no MLP inputs were read")
        return self.by_source(rows)


class Intervention(Protocol):
    """What chosen neurons become."""

    @property
    def reads_source(self) -> bool:
        """Whether the source must read each text, too."""

    @property
    def reads_inputs(self) -> bool:
        """Whether the source's parameters are applied to what the patched rows' own MLPs read."""

    def values(self, at: Computed) -> torch.Tensor:
        """What the neurons would become if all were chosen; broadcasts to ``at.own``. NaN leaves one as it is."""


@dataclass(frozen=True)
class FromSource:
    """Dynamic activation patching: the other model's activations on the same text (arXiv 2406.14144)."""

    reads_source: bool = True
    reads_inputs: bool = False

    def values(self, at: Computed) -> torch.Tensor:
        if at.source is None:
            raise ValueError(f"layer {at.layer}: {len(at.rows)} rows have no source")
        return at.source


@dataclass(frozen=True)
class FromWeights:
    """The direct effect alone: the other model's parameters of the chosen neurons, on the recipient's own stream."""

    reads_source: bool = False
    reads_inputs: bool = True

    def values(self, at: Computed) -> torch.Tensor:
        return at.from_parameters([index for index, row in enumerate(at.rows) if row is not None])


@dataclass(frozen=True)
class ByRoute:
    """Of some sets (``direct``, by index) the other model's parameters, of all others its activations."""

    direct: frozenset[int]
    reads_source: bool = True
    reads_inputs: bool = True

    def values(self, at: Computed) -> torch.Tensor:
        handed = FromSource().values(at)
        rows = [index for index, row in enumerate(at.rows) if row is not None and row.neurons in self.direct]
        if not rows:
            return handed
        chosen = torch.tensor(rows, device=at.own.device)
        return handed.index_copy(0, chosen, at.from_parameters(rows).index_select(0, chosen))


@dataclass(frozen=True)
class Scaled:
    """Own activations times a factor; 0 is zero ablation."""

    factor: float
    reads_source: bool = False
    reads_inputs: bool = False

    def values(self, at: Computed) -> torch.Tensor:
        if self.factor:
            return at.own * self.factor
        return torch.zeros_like(at.own).masked_fill(at.own.isnan(), float("nan"))


@dataclass(frozen=True)
class Constant:
    """Fixed values, such as means over a run: Float[Tensor, "layers neurons"]."""

    means: torch.Tensor
    reads_source: bool = False
    reads_inputs: bool = False

    def values(self, at: Computed) -> torch.Tensor:
        return self.means[at.layer].to(at.own.device, at.own.dtype)


@dataclass(frozen=True)
class Noise:
    """Own activations plus Gaussian noise of ``factor`` standard deviations: Float[Tensor, "layers neurons"].

    The noise of a neuron depends on seed, prompt, sample, position and the set that it is in, and on nothing else.
    """

    deviations: torch.Tensor
    factor: float
    seed: int
    columns: Sequence[Mapping[int, Ids]]
    """The columns of each set's members in each layer."""
    reads_source: bool = False
    reads_inputs: bool = False

    def values(self, at: Computed) -> torch.Tensor:
        n_tokens = at.own.shape[1]
        noise = torch.zeros(at.own.shape, dtype=torch.float64)
        for index, row in enumerate(at.rows):
            members = None if row is None else self.columns[row.neurons].get(at.layer)
            if row is None or members is None:
                continue
            for token in range(max(0, n_tokens - row.length), n_tokens):
                position = row.length - n_tokens + token
                generator = row_generator(self.seed, row.key, row.sample, position, at.layer)
                drawn = torch.from_numpy(generator.standard_normal(len(members)))
                noise[index, token, torch.from_numpy(members)] = drawn
        spread = self.factor * self.deviations[at.layer]
        return at.own + (noise * spread).to(at.own.device, at.own.dtype)
