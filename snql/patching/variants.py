"""Which variants a patch run has: unpatched recipient, donor, each neuron set, and the random controls of each."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise
from statistics import fmean

from snql.db.connection import Database
from snql.db.records import Variant
from snql.errors import InputError
from snql.neurons.sets import Shape
from snql.neurons.syntax import RESERVED, RUN_NAME, parse
from snql.neurons.tree import Combined, Everything, Ranked, walk
from snql.patching.options import DIRECT
from snql.rankings.evaluate import Evaluator, sized_by
from snql.rankings.shapes import shape_of

RECIPIENT, DONOR = 0, 1
_NUMBER = r"\d+(?:\.\d+)?%?"
_SIZE = re.compile(rf"-?{_NUMBER}(?:/(?:layer|index))?")
_STEPS = re.compile(rf"({_NUMBER})\.\.({_NUMBER}):({_NUMBER})(/(?:layer|index))?")
_LAYER_STEPS = re.compile(r"(last|first|each):(\d{1,6})(?:\.\.(\d{1,6})(?::(\d{1,6}))?)?")
HOLE = "{}"
"""Where a sweep's sizes go in an expression."""
_WINDOW = re.compile(rf"({_NUMBER})(?::({_NUMBER}))?")
MOST_SIZES = 10_000
MARKS = {"matched": "", "magnitude": ", match=magnitude", "anywhere": ", anywhere"}
"""Kinds of random controls, and what their expressions say."""

_ALIKE = 0.1
"""Root mean squares that differ by a larger share are said to."""


def expressions(
    neurons: Sequence[str],
    sweep: Sequence[str],
    window: str | None,
    n_ranked: Callable[[str], int],
    layers: Sequence[str] = (),
) -> list[str]:
    """The neuron expressions of a run: ``neurons`` themselves, or those at each size of a sweep, or in windows.

    A size or window takes the place of ``{}``; the plain name of a run is short for ``RUN:{}``. Each is then taken in
    each of the layers, too. n_ranked: how many neurons a locate run ranks. Raises InputError if there is no expression,
    an item is malformed, or a sweep has no place in an expression.
    """
    if not neurons:
        raise InputError("which neurons? give `neurons`, such as `neurons` safety:5%")
    found = list(neurons)
    if sweep or window is not None:
        asked = "`sweep`" if sweep else "`window`"
        patterns = [_pattern(text, asked) for text in neurons]
        found = [pattern.replace(HOLE, size) for pattern in patterns for item in sweep for size in sizes(item)]
        if window is not None:
            found += [
                pattern.replace(HOLE, part)
                for pattern in patterns
                for part in windows(window, lambda pattern=pattern: n_ranked(_ranking_of(pattern)))  # type: ignore[misc]
            ]
    if layers:
        parts = [part for item in layers for part in layer_steps(item)]
        found = [_in_layers(text, part) for text in found for part in parts]
    return list(dict.fromkeys(found))


def _pattern(text: str, asked: str) -> str:
    """An expression with a place for sizes."""
    if HOLE in text:
        return text
    if not RUN_NAME.fullmatch(text) or text in RESERVED:
        raise InputError(
            f"{asked} needs the plain name of a locate run in `neurons`, or {HOLE} where sizes go, as in "
            f"'safety:{HOLE} & L16..L30', not {text!r}"
        )
    return f"{text}:{HOLE}"


def _ranking_of(pattern: str) -> str:
    """The run whose ranks windows go over: the one with the place for them."""
    last = 10**14
    nodes = walk(parse(pattern.replace(HOLE, f"0..{last}")))
    return next(node.run for node in nodes if isinstance(node, Ranked) and node.high.value == last)


def _in_layers(text: str, part: str) -> str:
    node = parse(text)
    if isinstance(node, Everything):
        return part
    loose = isinstance(node, Combined) and node.operator != "&"
    return f"({text}) & {part}" if loose else f"{text} & {part}"


def layer_steps(item: str) -> list[str]:
    """Parts of a model's layers, as expressions: ``last:1..10`` for the last layer, the last two, … the last ten.

    Also ``first:1..10``, ``each:0..15`` for layers one by one, with a step (``last:2..10:2``), or a single number.
    Raises InputError if it is malformed.
    """
    match = _LAYER_STEPS.fullmatch(item)
    if match is None:
        raise InputError(f"`sweep_layers` {item!r} is not known: use last:1..10, first:1..10 or each:0..15, with :STEP")
    kind, first, last, step = match.groups()
    numbers = _steps(first, last or first, step or "1", f"`sweep_layers` {item}")
    if kind != "each" and int(first) == 0:
        raise InputError(f"`sweep_layers` {item!r} begins with no layer: begin with 1")
    form = {"last": "last({} layers)", "first": "L0..L{}", "each": "L{}"}[kind]
    return [form.format(int(number) - (kind == "first")) for number in numbers]


def sizes(item: str) -> list[str]:
    """One item of a sweep: a size, or all from one to another in steps (``0..20000:1000``, ends included).

    Each may be one per layer or index, ``5%/layer``. Raises InputError if it is malformed.
    """
    if _SIZE.fullmatch(item):
        return [item]
    match = _STEPS.fullmatch(item)
    numbers = match.groups()[:3] if match else ()
    if match is None or len({part.endswith("%") for part in numbers}) > 1:
        raise InputError(
            f"`sweep` size {item!r} is not known: use sizes such as 0.5%,1%,5% or 100,1000, or steps such as "
            "0..20000:1000"
        )
    return [f"{size}{match[4] or ''}" for size in _steps(match[1], match[2], match[3], f"`sweep` {item}")]


def windows(item: str, n_ranked: Callable[[], int]) -> list[str]:
    """Windows of ranks of one width, one after the other: ``5%`` through all ranks, ``5%:30%`` up to 30%.

    Raises InputError if it is malformed.
    """
    match = _WINDOW.fullmatch(item)
    parts = [part for part in match.groups() if part is not None] if match else []
    if not parts or len({part.endswith("%") for part in parts}) > 1:
        raise InputError(
            f"`window` {item!r} is not known: use a width such as 5% or 1000, or 5%:30% to stop at rank 30%"
        )
    width = parts[0]
    percent = width.endswith("%")
    last = parts[1] if len(parts) > 1 else "100%" if percent else str(n_ranked())
    lows = list(_steps("0%" if percent else "0", last, width, f"`window` {item}"))
    found = [f"{low}..{high}" for low, high in pairwise(lows)]
    if not found:
        raise InputError(f"`window` {item} is wider than what it is to slide over: use a smaller width")
    return found


def _steps(first: str, last: str, step: str, what: str) -> Iterator[str]:
    low, high, by = (Decimal(part.rstrip("%")) for part in (first, last, step))
    if by == 0 or high < low or (high - low) / by > MOST_SIZES:
        raise InputError(f"{what} does not go from a lower to a higher size in at most {MOST_SIZES} steps")
    unit = "%" if step.endswith("%") else ""
    while low <= high:
        yield f"{low.normalize():f}{unit}"
        low += by


@dataclass(frozen=True)
class VariantPlan:
    """Which variants a run has: unpatched models, neuron expressions, and so many random controls of each.

    controls: how many of each kind of MARKS. Matched ones have the same number of neurons in each layer, as far as
    these have enough others, those matched in magnitude neurons of like size, too; those from anywhere the same number
    in all; none has any of the set's own. routes: by which each set and its controls are patched, if by several.
    """

    db: Database
    wanted: Sequence[str]
    controls: Mapping[str, int] = field(default_factory=dict)
    donor: bool = True
    routes: Sequence[str | None] = (None,)

    def check(self) -> None:
        """Evaluate them for the model of a run or set that they name, before any is loaded; raises ExpressionError."""
        if self.controls.get("magnitude"):
            for expression in self.wanted:
                sized_by(self.db, expression)
        shapes = [shape for expression in self.wanted if (shape := shape_of(self.db, expression)) is not None]
        if shapes:
            self.of(shapes[0])

    def of(self, shape: Shape) -> list[Variant]:
        """With their members in a model of that shape, controls beside what they control. Raises ExpressionError."""
        evaluator = Evaluator(self.db, shape)
        variants = [Variant(RECIPIENT, "recipient", "recipient")]
        if self.donor:
            variants.append(Variant(DONOR, "donor", "donor"))
        first = DONOR + 1 - len(variants)
        with self.db.reading() if self.db.path.exists() else nullcontext():  # plain neurons need no database
            for expression in self.wanted:
                members = evaluator.evaluate(expression)
                controls = [
                    Variant(0, control, "patched", control, evaluator.evaluate(control), 0, seed, kind)
                    for kind, seed, control in (self._controls(expression) if len(members) else ())
                ]
                for route in self.routes:
                    number = len(variants) + first
                    chosen = Variant(number, _name(expression, route), "patched", expression, members, route=route)
                    variants += [chosen, *(_by(route, chosen, index, each) for index, each in enumerate(controls, 1))]
        return variants

    def _controls(self, expression: str) -> Iterator[tuple[str, int, str]]:
        for kind, mark in MARKS.items():
            for seed in range(1, self.controls.get(kind, 0) + 1):
                yield kind, seed, f"random({expression}, seed={seed}{mark})"

    def notes(self, variants: Sequence[Variant]) -> list[str]:
        """What the numbers of such variants must be read with: how far random controls are like what they control."""
        return unmatched(variants) + self._other_sizes(variants)

    def _other_sizes(self, variants: Sequence[Variant]) -> list[str]:
        """A sentence for each set whose controls, matched in magnitude, are not as large by more than a little."""
        sets = {variant.variant_id: variant for variant in variants if variant.members is not None}
        evaluator: Evaluator | None = None
        ratios: dict[str, list[float]] = {}
        for control in variants:
            chosen = None if control.control_of is None else sets.get(control.control_of)
            if (
                control.control_kind != "magnitude"
                or control.route == DIRECT
                or chosen is None
                or not (chosen.members and control.members)
            ):
                continue
            evaluator = evaluator or Evaluator(self.db, chosen.members.shape)
            ratio = chosen.members.relative_size(control.members, evaluator.sizes(chosen.name))
            ratios.setdefault(chosen.name, []).append(ratio)
        return [
            f"random sets like {name} in magnitude have {fmean(found):.2f} of its root mean square activation: the "
            "model has not enough other neurons of that size"
            for name, found in ratios.items()
            if abs(fmean(found) - 1) > _ALIKE
        ]


def _by(route: str | None, chosen: Variant, index: int, control: Variant) -> Variant:
    """A set's control of that index, from 1, by the route that the set is patched by."""
    number, name = chosen.variant_id + index, _name(control.name, route)
    return replace(control, variant_id=number, name=name, control_of=chosen.variant_id, route=route)


def _name(expression: str, route: str | None) -> str:
    """What a set is called: its expression, and by the direct route that it is."""
    return f"{expression} ({DIRECT})" if route == DIRECT else expression


def unmatched(variants: Sequence[Variant]) -> list[str]:
    """A sentence for each set whose matched controls could not have as many neurons in every layer."""
    sets = {variant.variant_id: variant for variant in variants}
    found = {}
    for control in variants:
        if (
            control.control_kind != "matched"
            or control.route == DIRECT
            or control.control_of is None
            or control.members is None
        ):
            continue
        chosen = sets[control.control_of]
        if chosen.members is not None and (share := chosen.members.share_matched(control.members)) < 1:
            layer, members = max(chosen.members.by_layer().items(), key=lambda item: len(item[1]))
            found[chosen.name] = (
                f"random sets of {chosen.name} are matched by layer for {share:.0%} of their neurons: it has "
                f"{len(members)} of the {chosen.members.shape.n_neurons} neurons of layer {layer}, so others are from "
                "layers nearby"
            )
    return list(found.values())
