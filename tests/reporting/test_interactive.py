"""Zoom, legends and tooltips, tried with a mouse in a real browser on every way to compose charts."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import pytest

from snql.reporting.interactive import FADED, interactive
from snql.reporting.render import page as chart_page
from snql.reporting.render import script_json

from .browser import Page, complaints, needs_browser, opened, until, value

ROWS = pl.DataFrame(
    {
        "run": ["one", "two"] * 8,
        "panel": ["left", "right", "right", "left"] * 4,
        "x": [float(n) for n in range(1, 17)],
        "y": [float(n * n % 17) for n in range(1, 17)],
    }
)


def spec(chart: Any) -> dict[str, Any]:
    """The specification of a chart."""
    made: dict[str, Any] = chart.to_dict()
    return made


def _data() -> alt.InlineData:
    return alt.InlineData(values=ROWS.to_dicts())


def _points() -> Any:
    return (
        alt.Chart(_data(), width=200, height=120)
        .mark_point(filled=True, opacity=0.8)
        .encode(x="x:Q", y="y:Q", color="run:N", shape="run:N")
    )


def _layered() -> Any:
    base = alt.Chart().encode(x=alt.X("x:Q", scale=alt.Scale(type="log")), y="y:Q")
    line = base.mark_line().encode(strokeDash="run:N", color="run:N")
    band = base.mark_area(opacity=0.2).encode(color=alt.value("grey"), detail="run:N")
    chance = alt.Chart().mark_rule().encode(y=alt.datum(3))
    return alt.layer(band, chance, line, base.mark_point().encode(color="run:N"), data=_data())


def _bars() -> Any:
    shown = alt.Chart(_data(), width=200, height=120).mark_bar()
    return shown.encode(x="panel:N", y=alt.Y("sum(x):Q"), color="run:N")


CHARTS: dict[str, Any] = {
    "single": _points(),
    "layered": _layered(),
    "faceted": _points().properties(data=alt.Undefined).facet("panel:N", data=_data()),
    "faceted layers": _layered().facet("panel:N", columns=1),
    "side by side": _points() | _layered(),
    "one above the other": (_points() & _bars()).resolve_scale(color="independent"),
}
ZOOMED = """
[...document.querySelectorAll('#chart .role-axis-label text')].map(label => label.textContent).sort().join('|')
"""
FAINT = f"""
[...document.querySelectorAll('#chart .role-mark path')].filter(
  mark => Number(mark.getAttribute('opacity')) === {FADED}).length
"""


def shown(page: Page, chart: Any, folder: Path) -> dict[str, Any]:
    """Open the chart's own HTML page; return its specification."""
    specification = spec(chart)
    file = folder / "chart.html"
    file.write_bytes(chart_page(script_json(interactive(specification)), "A chart"))
    complaints(page)  # what other pages said
    opened(page, file)
    return specification


def middle(page: Page, selector: str, number: int = 0) -> tuple[float, float]:
    """The middle of one of the elements."""
    box = value(page, "document.querySelectorAll(arguments[0])[arguments[1]].getBoundingClientRect()", selector, number)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def plot(page: Page) -> tuple[float, float]:
    """The middle of the first plot."""
    boxes = value(page, "[...document.querySelectorAll('path.background')].map(e => e.getBoundingClientRect())")
    large = (n for n, box in enumerate(boxes) if min(box["width"], box["height"]) > 50)
    return middle(page, "path.background", next(large))


def mouse(page: Page, kind: str, at: tuple[float, float], **more: object) -> None:
    page.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": at[0], "y": at[1], **more})


def click(page: Page, at: tuple[float, float], **more: object) -> None:
    mouse(page, "mouseMoved", at)
    for kind in ("mousePressed", "mouseReleased"):
        mouse(page, kind, at, button="left", clickCount=1, **more)


def double_click(page: Page, at: tuple[float, float]) -> None:
    for count in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            mouse(page, kind, at, button="left", clickCount=count)


@needs_browser
@pytest.mark.parametrize("name", CHARTS)
def test_a_legend_filters_and_shows_all_again(chromium: Page, tmp_path: Path, name: str) -> None:
    shown(chromium, CHARTS[name], tmp_path)
    assert value(chromium, FAINT) == 0
    click(chromium, middle(chromium, "#chart .role-legend-symbol path"))
    faint = until(lambda: value(chromium, FAINT))
    assert faint < value(chromium, "document.querySelectorAll('#chart .role-mark path').length")
    click(chromium, middle(chromium, "#chart .role-legend-symbol path", 1), modifiers=8)  # Shift: both now
    until(lambda: value(chromium, FAINT) == 0)
    click(chromium, middle(chromium, "#chart .role-legend-symbol path", 1), modifiers=8)
    until(lambda: value(chromium, FAINT) == faint)
    assert complaints(chromium) == []


@needs_browser
@pytest.mark.parametrize("name", CHARTS)
def test_the_wheel_zooms_with_ctrl_only_and_dragging_pans(chromium: Page, tmp_path: Path, name: str) -> None:
    shown(chromium, CHARTS[name], tmp_path)
    at = plot(chromium)
    before = value(chromium, ZOOMED)
    mouse(chromium, "mouseWheel", at, deltaX=0, deltaY=-300)
    assert value(chromium, ZOOMED) == before
    mouse(chromium, "mouseWheel", at, deltaX=0, deltaY=-300, modifiers=2)
    zoomed = until(lambda: (now := value(chromium, ZOOMED)) != before and now)
    assert value(chromium, "window.visualViewport.scale") == 1
    mouse(chromium, "mousePressed", at, button="left", clickCount=1)
    mouse(chromium, "mouseMoved", (at[0] + 40, at[1] + 25), button="left", buttons=1)
    mouse(chromium, "mouseReleased", (at[0] + 40, at[1] + 25), button="left")
    until(lambda: value(chromium, ZOOMED) != zoomed)
    double_click(chromium, at)
    until(lambda: value(chromium, ZOOMED) == before)
    assert complaints(chromium) == []


@needs_browser
def test_marks_say_their_values(chromium: Page, tmp_path: Path) -> None:
    shown(chromium, CHARTS["single"], tmp_path)
    mouse(chromium, "mouseMoved", middle(chromium, "#chart .mark-symbol.role-mark path", 4))
    text = until(lambda: value(chromium, "document.querySelector('#vg-tooltip-element.visible')?.innerText"))
    row = ROWS.row(4, named=True)
    assert text.split() == ["x", f"{row['x']:g}", "y", f"{row['y']:g}", "run", row["run"]]


@needs_browser
def test_marks_are_cut_at_the_plot_only_once_it_is_zoomed(chromium: Page, tmp_path: Path) -> None:
    shown(chromium, CHARTS["single"], tmp_path)
    cut = "document.querySelector('#chart .mark-symbol.role-mark').hasAttribute('clip-path')"
    assert value(chromium, cut) is False
    at = plot(chromium)
    mouse(chromium, "mouseWheel", at, deltaX=0, deltaY=-300, modifiers=2)
    until(lambda: value(chromium, cut))


def _units(part: Any) -> list[dict[str, Any]]:
    if isinstance(part, list):
        return [unit for each in part for unit in _units(each)]
    if not isinstance(part, dict):
        return []
    own = [part] if "mark" in part and ("encoding" in part or "params" in part) else []
    return own + [unit for key, each in part.items() if key not in ("datasets", "data") for unit in _units(each)]


@pytest.mark.parametrize("name", CHARTS)
def test_the_specification_that_is_given_stays_as_it_is(name: str) -> None:
    given = spec(CHARTS[name])
    copy = deepcopy(given)
    made = interactive(given)
    assert given == copy
    assert json.dumps(made["datasets" if "datasets" in made else "data"]) == json.dumps(
        given["datasets" if "datasets" in given else "data"]
    )


def test_one_zoom_a_plot_and_one_selection_a_field() -> None:
    units = _units(interactive(spec(CHARTS["side by side"])))
    params = [param for unit in units for param in unit.get("params", ())]
    assert sorted(param["name"] for param in params) == ["legend_1", "zoom_1", "zoom_2"]


def test_there_is_nothing_to_zoom_or_to_choose_in_a_grid_of_categories() -> None:
    grid = alt.Chart(_data()).mark_rect().encode(x="run:N", y="panel:N", color="x:Q")
    assert [param for unit in _units(interactive(spec(grid))) for param in unit.get("params", ())] == []


def test_scales_that_differ_between_panels_do_not_zoom_together() -> None:
    panels = _points().properties(data=alt.Undefined).facet("panel:N", data=_data()).resolve_scale(x="independent")
    params = [param for unit in _units(interactive(spec(panels))) for param in unit.get("params", ())]
    assert [param["select"]["encodings"] for param in params if param["bind"] == "scales"] == [["y"]]


def test_a_hidden_legend_chooses_nothing() -> None:
    hidden = _points().encode(color=alt.Color("run:N", legend=None), shape=alt.Shape("run:N", legend=None))
    params = [param for unit in _units(interactive(spec(hidden))) for param in unit.get("params", ())]
    assert [param["bind"] for param in params] == ["scales"]
