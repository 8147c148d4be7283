"""Marks: points, bars of intervals, random sets, reference lines, notes; and what a tooltip says of a column."""

from typing import Any

import altair as alt

from snql.reporting.kit.axes import Axis
from snql.reporting.kit.series import CONTROL
from snql.reporting.look import Look

INTERVAL = ("ci_low", "ci_high")


def points(base: alt.Chart, axis: Axis, column: str, look: Look, area: float = 26, **encoding: Any) -> alt.Chart:
    """Filled points at a column; ``area`` in square points."""
    marks: alt.Chart = base.mark_point(filled=True, opacity=1, size=look.area(area))
    return marks.encode(**axis.at(column), **encoding)


def bars(base: alt.Chart, axis: Axis, ends: tuple[str, str], look: Look, stroke: float = 1.1, **mark: Any) -> alt.Chart:
    """Thin bars from one column to another: intervals."""
    marks: alt.Chart = base.mark_rule(strokeWidth=look.stroke(stroke), **mark)
    return marks.encode(**axis.span(*ends))


def line(base: alt.Chart, axis: Axis, column: str, look: Look, stroke: float = 1.2, **mark: Any) -> alt.Chart:
    """A line through the values of a column."""
    marks: alt.Chart = base.mark_line(strokeWidth=look.stroke(stroke), **mark)
    return marks.encode(**axis.at(column))


def control_ranges(base: alt.Chart, axis: Axis, look: Look) -> list[alt.Chart]:
    """Range and mean of the random sets of each row, named in the legend."""
    span = base.mark_rule(strokeWidth=look.height(4.5), opacity=0.35, color=look.theme.control, clip=True)
    mean = base.mark_point(size=look.area(14), filled=True, opacity=1)
    return [
        span.encode(**axis.span("control_min", "control_max")),
        mean.encode(**axis.at("control_mean"), color=alt.datum(CONTROL), shape=alt.datum(CONTROL)),
    ]


def effect_lines(axis: Axis, look: Look, *, facets: bool = False) -> list[alt.Chart]:
    """Lines at effects 0 and 1, dashed; in ``facets`` they have no rows of their own."""
    lines = []
    for value, dash in ((0, [1, 0]), (1, [4, 3])):
        base = alt.Chart() if facets else alt.Chart(alt.InlineData(values=[{"at": value}]))
        rule = base.mark_rule(color=look.theme.ink, strokeWidth=look.stroke(0.6), strokeDash=dash)
        lines.append(rule.encode(**({axis.name: alt.datum(value)} if facets else axis.at("at"))))
    return lines


def zero(look: Look, base: alt.Chart | None = None, **encoding: Any) -> alt.Chart:
    """A thin line, at 0 as a rule."""
    rule: alt.Chart = (base or alt.Chart()).mark_rule(color=look.theme.line, strokeWidth=look.stroke(0.6))
    return rule.encode(**encoding)


def note(base: alt.Chart, text: str, when: str, at: float, look: Look) -> alt.Chart:
    """A word in place of marks in the rows where an expression holds, ``at`` points from the left."""
    marks: alt.Chart = base.transform_filter(when).mark_text(
        text=text, align="left", fontSize=look.size(), color=look.theme.muted
    )
    return marks.encode(x=alt.value(look.height(at)), color=alt.value(look.theme.muted))


def on_shade(column: str, look: Look) -> Any:
    """The colour of words on a shade between -1 and 1 of the diverging colours, which are dark towards both ends."""
    return alt.condition(f"abs(datum.{column}) > 0.62", alt.value(look.theme.on_fill), alt.value(look.theme.ink))


def sets(base: alt.Chart, axis: Axis, look: Look, **encoding: Any) -> list[alt.Chart]:
    """Effects of sets with their intervals, a row each; ``encoding`` is that of their points."""
    return [
        note(base, "undefined", "!isValid(datum.effect)", 14, look),
        bars(base, axis, INTERVAL, look, clip=True),
        points(base, axis, "effect", look, 30, **encoding),
    ]


TEXT = {
    "dataset",
    "flow",
    "judge",
    "judge_a",
    "judge_b",
    "label",
    "model_spec",
    "name",
    "neurons",
    "role",
    "row",
    "run",
    "run_a",
    "run_b",
    "scorer",
    "source",
    "text",
    "variant",
}
"""Columns of text; tooltips show all others as numbers."""
KNOWN: dict[str, tuple[str, str]] = {
    "change": ("", "+.3f"),
    "ci_high": ("to", ".3f"),
    "ci_low": ("from", ".3f"),
    "control_mean": ("mean of random sets", ".3f"),
    "dataset": ("data set", ""),
    "effect": ("", ".3f"),
    "mean_donor": ("donor", ".3f"),
    "mean_patched": ("patched", ".3f"),
    "mean_recipient": ("recipient", ".3f"),
    "model_spec": ("model", ""),
    "n_neurons": ("neurons", ","),
    "n_prompts": ("prompts", ""),
    "name": ("neuron", ""),
    "rank": ("", ","),
    "score": ("", ".4~g"),
    "source": ("located by", ""),
    "variant": ("set", ""),
}
"""What tooltips call a column, its own name if empty, and the format of its numbers."""
SET = ("run", "source", "variant", "dataset", "n_neurons", "effect", *INTERVAL, "control_mean", "n_prompts")
"""What the tooltip of a set from a ranking says."""


def tooltip(*columns: str | tuple[str, ...]) -> list[alt.Tooltip]:
    """What to say of a mark: columns in order; or a column with what to call it, and the format of its numbers."""
    return [_tip(*((column,) if isinstance(column, str) else column)) for column in columns]


def _tip(column: str, title: str = "", form: str = "") -> alt.Tooltip:
    known_title, known_form = KNOWN.get(column, ("", ""))
    kind = "N" if column in TEXT else "Q"
    return alt.Tooltip(
        f"{column}:{kind}",
        title=title or known_title or alt.Undefined,
        format=form or known_form or alt.Undefined,
    )
