"""The trees that neuron expressions are parsed to, and what can be read off them."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """A place in a ranking: a percentage of the ranked neurons, or a rank."""

    value: float
    percent: bool

    def rank(self, n_ranked: int) -> int:
        """As a number of neurons: percentages are of ``n_ranked``, rounded, at least 1 unless 0."""
        if not self.percent:
            return int(self.value)
        return max(round(self.value / 100 * n_ranked), 1) if self.value > 0 else 0


@dataclass(frozen=True)
class Ranked:
    """``RUN:AMOUNT``: ranks above ``low`` up to ``high`` of a run.

    per: ``layer`` for ranks among each layer's neurons, ``index`` for those among the neurons of one index in all
    layers; None for ranks among all.
    """

    run: str
    low: Bound
    high: Bound
    column: int
    per: str | None = None


@dataclass(frozen=True)
class Top:
    """``top(AMOUNT, EXPR by RUN)``: ranks among the neurons of EXPR that a run ranks."""

    of: "Node"
    ranked: Ranked


@dataclass(frozen=True)
class Operand:
    """One side of a comparison: a column of a run (its absolute value, if ``absolute``), or a number."""

    name: str | None
    number: float
    absolute: bool
    column: int


@dataclass(frozen=True)
class Comparison:
    """``left OPERATOR right``; nothing compares with an unknown value."""

    left: Operand
    operator: str
    right: Operand


@dataclass(frozen=True)
class Filtered:
    """``RUN[score > 0.1 and …]``: the neurons for which every comparison holds."""

    run: str
    comparisons: tuple[Comparison, ...]
    column: int


@dataclass(frozen=True)
class Everything:
    """``all``"""


@dataclass(frozen=True)
class Listed:
    """``L12.N345,L3.E2.N7``: (layer, expert, neuron), expert None where none was written."""

    members: tuple[tuple[int, int | None, int], ...]
    column: int


@dataclass(frozen=True)
class Layers:
    """``L12``, ``L16..L30`` (both included), or ``L12.E3``: all neurons of layers, or of one expert."""

    first: int
    last: int
    column: int
    expert: int | None = None


@dataclass(frozen=True)
class LastLayers:
    """``last(5 layers)``: all neurons of a model's last layers."""

    n_layers: int
    column: int


@dataclass(frozen=True)
class Random:
    """``random(EXPR, seed=N)``: disjoint from EXPR, with as many neurons in each layer unless ``anywhere``.

    magnitude: neurons of like size of activations, too. by: the run that knows these, None for one that EXPR names.
    """

    of: "Node"
    seed: int
    column: int
    anywhere: bool = False
    magnitude: bool = False
    by: str | None = None


@dataclass(frozen=True)
class Named:
    """``@name``: a saved set."""

    name: str
    column: int


@dataclass(frozen=True)
class Sql:
    """``sql(SELECT layer, neuron FROM …)``"""

    query: str
    column: int


@dataclass(frozen=True)
class Combined:
    """``left & right``, ``left | right`` or ``left - right``."""

    operator: str
    left: "Node"
    right: "Node"


Node = Ranked | Top | Filtered | Everything | Listed | Layers | LastLayers | Random | Named | Sql | Combined


def walk(node: Node) -> Iterator[Node]:
    """A tree's nodes, in the order in which they are written."""
    yield node
    match node:
        case Top(of, ranked):
            yield from walk(of)
            yield ranked
        case Random(of):
            yield from walk(of)
        case Combined(_, left, right):
            yield from walk(left)
            yield from walk(right)


def runs_ranked(node: Node) -> tuple[str, ...]:
    """The runs whose rankings or values an expression uses, in its order; of SQL, none."""
    return tuple(dict.fromkeys(each.run for each in walk(node) if isinstance(each, Ranked | Filtered)))


def names_used(node: Node) -> frozenset[str]:
    """The saved sets that an expression names."""
    return frozenset(each.name for each in walk(node) if isinstance(each, Named))
