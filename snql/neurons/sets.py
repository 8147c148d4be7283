"""Sets of neurons of one model."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snql.errors import InputError

Ids = npt.NDArray[np.int64]
Sizes = npt.NDArray[np.float64]

BINS = 20
"""Parts of a layer's neurons by size, of as many neurons each, in which magnitude-matched sets are drawn."""

NEURON = re.compile(
    r"(?:L(?P<l>\d+)(?:[./:]E(?P<e>\d+))?[./:]N(?P<n>\d+))"
    r"|(?:(?P<layer>\d+)[.:](?:(?P<expert>\d+)[.:])?(?P<neuron>\d+))"
)
"""``L12.N345``, and what is read as the same: ``L12/N345``, ``12.345``, ``12:345``; with an expert ``L12.E3.N345``."""

Member = tuple[int, int] | tuple[int, int | None, int]
"""(layer, neuron), or (layer, expert, neuron)."""


def neuron_name(layer: int, neuron: int, expert: int | None = None) -> str:
    """``L12.N345``, or ``L12.E3.N345``; layers, experts and neurons are 0-based."""
    return f"L{layer}.N{neuron}" if expert is None else f"L{layer}.E{expert}.N{neuron}"


@dataclass(frozen=True)
class Shape:
    """How many layers a model has, and how many neurons each; ``n_neurons`` counts those of all a layer's experts."""

    n_layers: int
    n_neurons: int
    n_experts: int = 1

    @property
    def per_expert(self) -> int:
        """Neurons of one expert; of a whole layer in a dense model."""
        return self.n_neurons // self.n_experts

    @property
    def routed(self) -> bool:
        """Whether the neurons are those of experts, of which a token reaches some."""
        return self.n_experts > 1

    @property
    def size(self) -> int:
        return self.n_layers * self.n_neurons

    @property
    def parts(self) -> str:
        """What the numbers of a shape as text are."""
        return "layers x experts x neurons" if self.routed else "layers x neurons"

    def __str__(self) -> str:
        experts = f"{self.n_experts}x" if self.routed else ""
        return f"{self.n_layers}x{experts}{self.per_expert}"

    def flat(self, member: Member) -> int:
        """The member's id; raises InputError for one that the model does not have."""
        layer, expert, neuron = member if len(member) == 3 else (member[0], None, member[1])
        known = (expert is not None) == self.routed and 0 <= (expert or 0) < self.n_experts
        if not (known and 0 <= layer < self.n_layers and 0 <= neuron < self.per_expert):
            raise InputError(f"the model has {self} neurons ({self.parts}): no {neuron_name(layer, neuron, expert)}")
        return layer * self.n_neurons + (expert or 0) * self.per_expert + neuron


@dataclass(frozen=True, eq=False)
class NeuronSet:
    """A set of neurons. ``ids`` are layer * n_neurons + neuron, sorted and distinct: int64, shape (members,)."""

    shape: Shape
    ids: Ids

    @classmethod
    def of(cls, shape: Shape, members: Iterable[Member]) -> "NeuronSet":
        """From members; raises InputError for one that the model does not have."""
        return cls.from_ids(shape, np.array([shape.flat(member) for member in members], dtype=np.int64))

    @classmethod
    def from_ids(cls, shape: Shape, ids: Ids) -> "NeuronSet":
        return cls(shape, np.unique(ids))

    @classmethod
    def all(cls, shape: Shape) -> "NeuronSet":
        return cls(shape, np.arange(shape.size, dtype=np.int64))

    @classmethod
    def of_layers(cls, shape: Shape, first: int, last: int, expert: int | None = None) -> "NeuronSet":
        """All neurons from one layer to another, both included; of one expert of each, if it is named.

        Raises InputError for a layer or expert that the model does not have.
        """
        if last >= shape.n_layers:
            raise InputError(f"the model has {shape.n_layers} layers: no L{last}")
        if expert is not None and not (shape.routed and expert < shape.n_experts):
            n_experts = f"{shape.n_experts} experts a layer" if shape.routed else "no experts"
            raise InputError(f"the model has {n_experts}: no E{expert}")
        found = np.arange(first * shape.n_neurons, (last + 1) * shape.n_neurons, dtype=np.int64)
        kept = slice(None) if expert is None else (found % shape.n_neurons) // shape.per_expert == expert
        return cls(shape, found[kept])

    @classmethod
    def of_last_layers(cls, shape: Shape, n_layers: int) -> "NeuronSet":
        """All neurons of the last layers; raises InputError if the model has fewer."""
        if n_layers > shape.n_layers:
            raise InputError(f"the model has {shape.n_layers} layers, not {n_layers}")
        return cls.of_layers(shape, shape.n_layers - n_layers, shape.n_layers - 1)

    def __len__(self) -> int:
        return len(self.ids)

    def __and__(self, other: "NeuronSet") -> "NeuronSet":
        return NeuronSet(self.shape, np.intersect1d(self.ids, other.ids))

    def __or__(self, other: "NeuronSet") -> "NeuronSet":
        return NeuronSet(self.shape, np.union1d(self.ids, other.ids))

    def __sub__(self, other: "NeuronSet") -> "NeuronSet":
        return NeuronSet(self.shape, np.setdiff1d(self.ids, other.ids))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NeuronSet) and self.shape == other.shape and np.array_equal(self.ids, other.ids)

    @property
    def layers(self) -> Ids:
        """Layer of each member."""
        return self.ids // self.shape.n_neurons

    @property
    def columns(self) -> Ids:
        """Index of each member among all neurons of its layer."""
        return self.ids % self.shape.n_neurons

    @property
    def neurons(self) -> Ids:
        """Index of each member within its expert, or within its layer in a dense model."""
        return self.columns % self.shape.per_expert

    @property
    def experts(self) -> Ids | None:
        """Expert of each member; None for a dense model."""
        return self.columns // self.shape.per_expert if self.shape.routed else None

    def by_layer(self) -> dict[int, Ids]:
        """Members of each layer that has any: columns of the layer's activations, ascending."""
        layers, columns = self.layers, self.columns
        return {int(layer): columns[layers == layer] for layer in np.unique(layers)}

    @property
    def sha256(self) -> str:
        """Identity of the members within a model's shape."""
        return hashlib.sha256(f"{self.shape}:".encode() + self.ids.tobytes()).hexdigest()

    def matched_random(self, seed: int) -> "NeuronSet":
        """A random set with the same number of neurons in each layer, disjoint from this one.

        Each layer is drawn by its own generator from (seed, layer), so a layer's draw does not depend on others. One
        that has fewer other neurons than the set takes of it gives all that it has, and the nearest layers the rest:
        see :meth:`share_matched`. Raises InputError if the set is more than half of the model.
        """
        self._check_half()
        drawn = [self._draw(layer, members, seed) for layer, members in self.by_layer().items()]
        found = NeuronSet.from_ids(self.shape, np.concatenate([*drawn, np.array([], dtype=np.int64)]))
        short = self._per_layer() - found._per_layer()
        for layer in np.flatnonzero(short):
            found = found | self._from_nearby(int(layer), int(short[layer]), found, seed)
        return found

    def magnitude_matched(self, sizes: Sizes, seed: int) -> "NeuronSet":
        """A random set that is also alike in size: as many of each BINS-th of every layer's neurons by ``sizes``.

        sizes: of shape (shape.size,), such as root mean squares of activations; NaN is below all. Where a part of a
        layer has too few other neurons, the parts nearest in size give the rest, then the nearest layers: see
        :meth:`relative_size`. Raises InputError if the set is more than half of the model.
        """
        self._check_half()
        found = NeuronSet.from_ids(self.shape, np.array([], dtype=np.int64))
        for layer, members in self.by_layer().items():
            first = layer * self.shape.n_neurons
            parts = size_bins(sizes[first : first + self.shape.n_neurons])
            found = found | NeuronSet.from_ids(self.shape, first + _alike(parts, members, [seed, layer, BINS]))
        short = self._per_layer() - found._per_layer()
        for place in np.flatnonzero(short):
            found = found | self._from_nearby(int(place), int(short[place]), found, seed)
        return found

    def relative_size(self, control: "NeuronSet", sizes: Sizes) -> float:
        """Root mean square of a control's sizes over that of this set's: 1 if they are alike; NaN without any size."""
        own, other = (float(np.sqrt(np.nanmean(np.square(sizes[ids])))) for ids in (self.ids, control.ids))
        return other / own if own > 0 else float("nan")

    def share_matched(self, control: "NeuronSet") -> float:
        """The share of a control's neurons that stand for one of this set in the same layer; 1 if all do."""
        return float(np.minimum(self._per_layer(), control._per_layer()).sum() / max(1, len(control)))

    def _per_layer(self) -> Ids:
        return np.bincount(self.layers, minlength=self.shape.n_layers)

    def random_anywhere(self, seed: int) -> "NeuronSet":
        """A random set of the same size from all other neurons of the model, whatever their layer.

        Raises InputError if there are too few.
        """
        self._check_half()
        others = np.setdiff1d(np.arange(self.shape.size, dtype=np.int64), self.ids)
        generator = np.random.default_rng([seed, self.shape.n_layers])
        return NeuronSet.from_ids(self.shape, generator.choice(others, size=len(self), replace=False))

    def _check_half(self) -> None:
        if 2 * len(self) > self.shape.size:
            raise InputError(
                f"no disjoint random set: the set has {len(self)} of {self.shape.size} neurons, more than half; use a "
                "smaller set, or no random ones"
            )

    def _draw(self, layer: int, members: Ids, seed: int) -> Ids:
        others = np.setdiff1d(np.arange(self.shape.n_neurons, dtype=np.int64), members)
        generator = np.random.default_rng([seed, layer])
        chosen = generator.choice(others, size=min(len(members), len(others)), replace=False)
        return layer * self.shape.n_neurons + chosen

    def _from_nearby(self, layer: int, n_wanted: int, drawn: "NeuronSet", seed: int) -> "NeuronSet":
        """So many neurons that are neither in the set nor drawn, from the layers nearest to one; the earlier first."""
        generator = np.random.default_rng([seed, layer, self.shape.n_layers])
        width, free = self.shape.n_neurons, NeuronSet.all(self.shape) - self - drawn
        chosen: list[Ids] = []
        for other in sorted(range(self.shape.n_layers), key=lambda each: (abs(each - layer), each)):
            there = free.ids[(free.ids >= other * width) & (free.ids < (other + 1) * width)]
            n_here = min(n_wanted - sum(map(len, chosen)), len(there))
            if n_here:
                chosen.append(generator.choice(there, size=n_here, replace=False))
        return NeuronSet.from_ids(self.shape, np.concatenate(chosen))


def size_bins(sizes: Sizes) -> Ids:
    """The part of each neuron of a layer, 0 for the smallest to BINS - 1: parts of as many neurons each, by size."""
    order = np.argsort(np.where(np.isnan(sizes), -np.inf, sizes), kind="stable")
    parts = np.empty(len(sizes), dtype=np.int64)
    parts[order] = np.arange(len(sizes)) * BINS // max(1, len(sizes))
    return parts


def _alike(parts: Ids, members: Ids, seed: list[int]) -> Ids:
    """Random other neurons of a layer, as many of each part as ``members`` has; of the nearest parts where it has none.

    All others of the layer if there are fewer.
    """
    generator = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(len(parts), dtype=np.int64), members)
    waiting = [list(generator.permutation(others[parts[others] == part])) for part in range(BINS)]
    wanted = np.bincount(parts[members], minlength=BINS)
    chosen: list[int] = []
    for distance in range(BINS):
        for part in range(BINS - 1, -1, -1):  # the largest first: of these there are fewest
            for near in dict.fromkeys((part - distance, part + distance)):
                while wanted[part] and 0 <= near < BINS and waiting[near]:
                    chosen.append(waiting[near].pop())
                    wanted[part] -= 1
    return np.array(chosen, dtype=np.int64)
