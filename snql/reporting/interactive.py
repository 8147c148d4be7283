"""Vega-Lite specifications that a reader can explore: zoom and pan, series chosen in legends, tooltips.

Nothing in a chart's data changes, and a chart that nobody touches looks as it does on paper.
"""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

Spec = dict[str, Any]

PARTS = ("layer", "hconcat", "vconcat", "concat")
CONTINUOUS = ("quantitative", "temporal")
LEGENDS = ("color", "fill", "stroke", "shape", "strokeDash", "opacity", "size")
FADED = 0.06
"""Opacity of series that are not chosen: their place can still be seen."""
WHEEL = "wheel![event.ctrlKey || event.metaKey]"
"""The wheel alone scrolls the page; a pinch on a touchpad comes as a wheel with Ctrl."""


@dataclass(frozen=True)
class _View:
    """A unit view. encoding: with that of the layers around it; fields: those of its data, empty where unknown.

    group: number of the plot that it is in; fixed: channels whose scale differs from panel to panel, which one zoom
    cannot share.
    """

    spec: Spec
    encoding: Spec
    fields: frozenset[str]
    group: int
    fixed: frozenset[str]


@dataclass(frozen=True)
class _Around:
    """What the specifications around a view say."""

    encoding: Spec
    fields: frozenset[str]
    group: int
    fixed: frozenset[str]


def interactive(spec: Mapping[str, Any]) -> Spec:
    """A copy of a specification in which plots zoom and legends filter.

    Dragging pans, the wheel with Ctrl or Cmd zooms and a double click resets plots with a continuous axis; panels of a
    facet move together. A click on an entry of a legend of nominal values fades all other series, with Shift it adds
    one, a double click beside the entries shows all again. Marks without a tooltip get one of what they encode.

    To a screen reader a chart is its description, axes and legends, without a word for every mark.
    """
    made = deepcopy(dict(spec))
    views = list(_views(made, _Around({}, frozenset(), 0, frozenset()), made.get("datasets", {})))
    for view in views:
        _add_tooltip(view)
    _add_zoom(views)
    _add_legends(views)
    config = made.setdefault("config", {})
    config["mark"] = {"aria": False, **config.get("mark", {})}
    return made


def _views(spec: Spec, around: _Around, datasets: Spec) -> Iterator[_View]:
    encoding = {**around.encoding, **spec.get("encoding", {})}
    inner = replace(around, encoding=encoding, fields=_fields(spec, around.fields, datasets))
    if "spec" in spec:
        yield from _views(spec["spec"], replace(inner, fixed=around.fixed | _independent(spec)), datasets)
        return
    for part in PARTS:
        for number, child in enumerate(spec.get(part, ()), start=1):
            group = inner.group if part == "layer" else 100 * inner.group + number
            yield from _views(child, replace(inner, group=group), datasets)
    if "mark" in spec:
        spec["mark"] = {"type": spec["mark"]} if isinstance(spec["mark"], str) else spec["mark"]
        panels = {"row", "column", "facet"} & set(encoding)
        fixed = around.fixed | (_independent(spec) if panels else frozenset())
        yield _View(spec, encoding, inner.fields, around.group, fixed)


def _fields(spec: Spec, outer: frozenset[str], datasets: Spec) -> frozenset[str]:
    """The columns of a view's data that no transform but a filter touches."""
    if any(set(step) != {"filter"} for step in spec.get("transform", ())):
        return frozenset()
    if "data" not in spec:
        return outer
    rows = spec["data"].get("values", datasets.get(spec["data"].get("name"), ()))
    return frozenset(name for row in rows if isinstance(row, dict) for name in row)


def _independent(spec: Spec) -> frozenset[str]:
    scales = spec.get("resolve", {}).get("scale", {})
    return frozenset(channel for channel, how in scales.items() if how == "independent")


def _add_tooltip(view: _View) -> None:
    mark = view.spec["mark"]
    if _encodes(view.encoding) and not {"tooltip"} & {*view.encoding, *mark} and mark["type"] != "text":
        mark["tooltip"] = {"content": "encoding"}


def _add_zoom(views: list[_View]) -> None:
    """One interval of the scales in each plot. Marks end where a plot does once it is zoomed, not before: those at its
    edge are whole."""
    plots: dict[int, tuple[_View, list[str]]] = {}
    for view in views:
        channels = [channel for channel in ("x", "y") if _zooms(view, channel)]
        if len(channels) > len(plots.get(view.group, (view, []))[1]):
            plots[view.group] = (view, channels)
    zoomed: dict[int, str] = {}
    for number, (group, (view, channels)) in enumerate(plots.items(), start=1):
        select = {"type": "interval", "encodings": channels, "zoom": WHEEL}
        _add_param(view.spec, {"name": f"zoom_{number}", "select": select, "bind": "scales"})
        fields = [json.dumps(view.encoding[channel]["field"]) for channel in channels]
        zoomed[group] = " || ".join(f"!!zoom_{number}[{field}]" for field in fields)
    for view in views:
        if view.group in zoomed:
            view.spec["mark"].setdefault("clip", {"expr": zoomed[view.group]})


def _zooms(view: _View, channel: str) -> bool:
    found = view.encoding.get(channel, {})
    scale = found.get("scale", {})
    return (
        channel not in view.fixed
        and "field" in found
        and found.get("type") in CONTINUOUS
        and not found.get("bin")
        and not found.get("aggregate")
        and scale is not None
        and scale.get("type") not in ("band", "point", "ordinal")
    )


def _add_legends(views: list[_View]) -> None:
    """One point selection for each field that a legend names, and an opacity in all views that know the field."""
    names: dict[str, str] = {}
    for view in views:
        for field in _legend_fields(view.encoding):
            if field not in names:
                names[field] = f"legend_{len(names) + 1}"
                select = {"type": "point", "fields": [field]}
                _add_param(view.spec, {"name": names[field], "select": select, "bind": "legend"})
    for view in views:
        chosen = [
            {"param": name} for field, name in names.items() if field in view.fields or _encodes(view.encoding, field)
        ]
        if chosen:
            _fade(view, {"not": {"and": chosen}})


def _legend_fields(encoding: Spec) -> Iterator[str]:
    for channel in LEGENDS:
        found = encoding.get(channel)
        if isinstance(found, dict) and found.get("type") == "nominal" and found.get("legend", {}) is not None:
            field = found.get("field")
            if isinstance(field, str):
                yield field


def _encodes(encoding: Spec, field: str | None = None) -> bool:
    """Whether a channel shows the field, or any if none is named."""
    found = [part for value in encoding.values() for part in (value if isinstance(value, list) else [value])]
    fields = [part["field"] for part in found if isinstance(part, dict) and "field" in part]
    return field in fields if field is not None else bool(fields)


def _fade(view: _View, test: Spec) -> None:
    """Without an else, the mark's own opacity stays where the test fails."""
    own = view.encoding.get("opacity", {})
    if "condition" in own:
        return
    view.spec.setdefault("encoding", {})["opacity"] = {**own, "condition": {"test": test, "value": FADED}}


def _add_param(spec: Spec, param: Spec) -> None:
    spec["params"] = [*spec.get("params", ()), param]
