"""The page in a real browser: charts, tables, filters, hostile text, phones, screen readers, and its size."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_core_python.selenium import Axe  # type: ignore[import-untyped]

from snql.db import Database
from snql.db.connection import Database as Opened
from snql.reporting import neuron_rows, writings
from snql.reporting.build import build
from snql.reporting.model import Report
from snql.reporting.options import ReportOptions
from snql.reporting.sources import sources
from snql.writing.inert import visible

from .browser import Page, complaints, look, needs_browser, opened, requests, until, value
from .conftest import Builder
from .hostile import HOSTILE, RUNS
from .large import large

pytestmark = needs_browser
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
MOST_BYTES = 15_000_000


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with large(tmp_path_factory.mktemp("large") / "x.duckdb", n_neurons=200, n_prompts=148) as made:
        yield made


@pytest.fixture(scope="module")
def report(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return build(database, tmp_path_factory.mktemp("report") / "out", ReportOptions(formats=("svg",)))


@pytest.fixture(scope="module")
def tables(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report with one chart: for what is about the rest of the page."""
    return build(
        database, tmp_path_factory.mktemp("tables") / "out", ReportOptions(figures=("layers",), formats=("svg",))
    )


@pytest.fixture
def page(chromium: Page, tables: Report) -> Page:
    """The page with one chart, as it is when it has just been opened; its charts may not be drawn yet."""
    complaints(chromium)
    opened(chromium, tables.index, drawn=False)
    return chromium


def choose(page: Page, part: str, name: str, chosen: str) -> None:
    """Give a control of the part a value, as a person does."""
    page.execute_script(
        "const found = document.getElementById(arguments[0] + '-controls').elements.namedItem(arguments[1]);"
        "found.value = arguments[2];"
        "found.dispatchEvent(new Event(found.tagName === 'SELECT' ? 'change' : 'input', {bubbles: true}));",
        *(part, name, chosen),
    )


def press(page: Page, selector: str) -> None:
    page.execute_script("document.querySelector(arguments[0]).click()", selector)


def texts(page: Page, selector: str) -> list[str]:
    """The texts of all elements that the selector finds."""
    found = "[...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
    return [str(text) for text in value(page, found, selector)]


def column(page: Page, number: int) -> list[str]:
    return texts(page, f"#neurons-table tbody tr > :nth-child({number})")


def status(page: Page, part: str) -> str:
    return texts(page, f"#{part}-pager .status")[0]


def test_every_chart_is_drawn_and_nothing_is_asked_for(chromium: Page, report: Report) -> None:
    chromium.get("about:blank")
    complaints(chromium), requests(chromium)
    opened(chromium, report.index)
    drawn = [figure for figure in report.figures if not figure.skipped]
    assert value(chromium, "document.querySelectorAll('.chart.drawn').length") == 1 + len(drawn) > 4
    for figure in drawn:
        marks = (
            "document.querySelectorAll(`#chart-${arguments[0]} .role-mark path, #chart-${arguments[0]} line`).length"
        )
        assert value(chromium, marks, figure.name) > 1, figure.name
    assert complaints(chromium, "SEVERE") == []
    assert [address for address in requests(chromium) if not address.startswith("data:")] == [report.index.as_uri()]


@pytest.mark.parametrize(
    "figures", [("layers",), pytest.param((), marks=pytest.mark.slow("a page with one chart has all that is long"))]
)
def test_a_full_page_stays_small(tmp_path: Path, figures: tuple[str, ...]) -> None:
    with large(tmp_path / "x.duckdb") as database:
        found, written = neuron_rows.read(sources(database)), writings.read(sources(database))
        assert found is not None and found.frame.height == neuron_rows.MAX_NEURONS
        assert written is not None and written.n_completions == writings.MAX_COMPLETIONS
        report = build(database, tmp_path / "out", ReportOptions(figures=figures, formats=("svg",)))
    assert report.index.stat().st_size < MOST_BYTES


def test_neurons_are_sorted_by_what_a_heading_says(page: Page, database: Database) -> None:
    scores = database.frame("SELECT score FROM neuron_scores WHERE rank <= 5000")["score"].to_numpy()
    assert status(page, "neurons") == "1 to 25 of 1,800 neurons"
    press(page, "[data-key=score] button")
    top = [float(text) for text in column(page, 5)]
    assert top == pytest.approx(np.sort(scores)[::-1][:25], rel=1e-3)
    assert value(page, "document.querySelector('[data-key=score]').ariaSort") == "descending"
    press(page, "[data-key=score] button")
    assert [float(text) for text in column(page, 5)] == pytest.approx(np.sort(scores)[:25], rel=1e-3)
    assert value(page, "document.querySelector('[data-key=score]').ariaSort") == "ascending"
    press(page, "[data-key=name] button")
    assert texts(page, "th[aria-sort=descending]") == ["neuron"]
    names = [tuple(int(part[1:]) for part in text.split(".")) for text in column(page, 1)]
    assert names == sorted(names, reverse=True) and names[0][0] == 4


def test_neurons_are_filtered(page: Page, database: Database) -> None:
    frame = database.frame("SELECT *, run AS name FROM neuron_scores WHERE rank <= 5000")
    choose(page, "neurons", "run", "0")
    assert status(page, "neurons").endswith("of 1,000 neurons")
    assert set(column(page, 2)) == {"kept"}
    choose(page, "neurons", "layer", "2")
    layer = frame.filter((frame["run"] == "kept") & (frame["layer"] == 2))
    assert status(page, "neurons").endswith(f"of {layer.height:,} neurons")
    choose(page, "neurons", "change", "flip")
    flips = layer.filter(layer["mean_before"] * layer["mean_after"] < 0)
    assert status(page, "neurons").endswith(f"of {flips.height:,} neurons")
    choose(page, "neurons", "find", "l2.n15")
    found = [n for n in flips.sort("rank")["neuron"].to_list() if str(n).startswith("15")]
    assert column(page, 1) == [f"L2.N{n}" for n in found][:25]
    choose(page, "neurons", "find", "nowhere")
    assert (column(page, 1), status(page, "neurons")) == ([], "No neurons fit")


def test_neurons_come_a_page_at_a_time(page: Page) -> None:
    first = column(page, 4)
    press(page, "#neurons-pager button:nth-of-type(3)")
    assert status(page, "neurons") == "26 to 50 of 1,800 neurons"
    assert column(page, 4) == [str(rank) for rank in range(26, 51)]
    press(page, "#neurons-pager button:nth-of-type(4)")
    assert status(page, "neurons") == "1,776 to 1,800 of 1,800 neurons"
    assert value(page, "document.querySelector('#neurons-pager button:nth-of-type(3)').disabled")
    press(page, "#neurons-pager button:nth-of-type(1)")
    assert column(page, 4) == first


def test_ranks_in_another_run_stand_beside(page: Page, database: Database) -> None:
    choose(page, "neurons", "compare", "1")
    assert texts(page, "#neurons-table thead th")[-1] == "rank in safety"
    other = {
        f"L{layer}.N{neuron}": rank
        for layer, neuron, rank in database.rows(
            "SELECT layer, neuron, rank FROM neuron_scores WHERE run = 'safety' AND rank IS NOT NULL"
        )
    }
    shown = [f"{other[name]:,}" if name in other else "–" for name in column(page, 1)]
    assert column(page, 9) == shown
    press(page, "[data-key=compared] button")
    press(page, "[data-key=compared] button")
    assert column(page, 9) == sorted(column(page, 9), key=lambda text: int(text.replace(",", "")))
    choose(page, "neurons", "compare", "")
    assert len(texts(page, "#neurons-table thead th")) == 8


def test_completions_stand_side_by_side_and_sets_can_be_chosen(page: Page, database: Database) -> None:
    assert texts(page, "#completions-list article:first-child dt")[1].startswith("patched safety:5% score ")
    choose(page, "completions", "find", "question 17:")
    written = dict(
        database.rows("SELECT variant, text FROM run_completions WHERE run = 'many' AND prompt LIKE 'Question 17:%'")
    )
    for place, name in enumerate(texts(page, "#completions-controls select[name=set] option")):
        choose(page, "completions", "set", str(place))
        wanted = [written["recipient"], written[name], written["donor"]]
        assert texts(page, "#completions-list dd") == wanted


def _scores(database: Database, name: str = "safety:5%") -> dict[str, tuple[float, float]]:
    """Prompt -> the recipient's and the set's score, of the prompts in the page."""
    rows = database.rows(
        """
        SELECT p.text, max(j.score) FILTER (v.role = 'recipient'), max(j.score) FILTER (v.name = $1)
        FROM judgements AS j JOIN variants AS v USING (run_id, variant_id) JOIN prompts AS p USING (prompt_id)
        JOIN run_prompts AS r USING (run_id, prompt_id)
        GROUP BY p.text, p.dataset, r.ordinal
        ORDER BY row_number() OVER (PARTITION BY p.dataset ORDER BY r.ordinal), r.ordinal
        """,
        [name],
    )
    return {text: (recipient, patched) for text, recipient, patched in rows[:1000]}


def test_completions_are_filtered_by_score(page: Page, database: Database) -> None:
    scores = _scores(database)
    rises = [text for text, (before, after) in scores.items() if after > before]
    choose(page, "completions", "show", "up")
    assert status(page, "completions").endswith(f"of {len(rises):,} prompts")
    choose(page, "completions", "least", "7.5")
    large = {text for text in rises if round(scores[text][1] - scores[text][0], 2) >= 7.5}
    assert status(page, "completions").endswith(f"of {len(large)} prompts")
    choose(page, "completions", "least", "")
    choose(page, "completions", "show", "below")
    verdicts = [text for text, (before, after) in scores.items() if before > 0 and not after > 0]
    assert status(page, "completions").endswith(f"of {len(verdicts)} prompts")


def test_completions_are_ordered_by_change(page: Page, database: Database) -> None:
    changes = sorted(after - before for before, after in _scores(database).values())
    for order, wanted in (("fall", changes[:5]), ("rise", changes[::-1][:5])):
        choose(page, "completions", "order", order)
        heads = [text for text in texts(page, "#completions-list dt .score") if "(" in text]
        shown = [float(text.split("(")[1].rstrip(")").replace("−", "-")) for text in heads]
        assert shown == pytest.approx(wanted, abs=0.006)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_answer_its_chart_and_an_example_are_above_the_fold(
    chromium: Page, report: Report, width: int, height: int
) -> None:
    opened(chromium, report.index, width=width)
    assert texts(chromium, "h1")[0].startswith("safety:10% (100 neurons, 10% of all) carries 90% [80%, 100%]")
    for part in ("h1", "#chart-opening svg", "header .comparison"):
        box = value(chromium, "document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", part)
        assert 0 <= box["left"] < box["right"] <= width and 0 <= box["top"] < box["bottom"] <= height, part
    assert texts(chromium, "header dt strong") == ["recipient", "patched", "donor"]
    second = value(chromium, "document.querySelector('main section').id")
    assert second == "completions"


SIZES = """[...document.querySelectorAll('.chart svg text')].map(text => {
  const svg = text.ownerSVGElement;
  return parseFloat(getComputedStyle(text).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
})"""


def test_charts_are_drawn_for_a_phone_and_again_in_the_colours_of_the_page(chromium: Page, report: Report) -> None:
    opened(chromium, report.index, width=390)
    assert min(value(chromium, SIZES)) >= 11
    assert value(chromium, "[...document.querySelectorAll('.chart')].every(e => e.scrollWidth <= e.clientWidth)")
    ink = "document.querySelector('#chart-opening svg text').getAttribute('fill')"
    assert value(chromium, ink) == "#1f1f1f"
    look(chromium, width=1280, dark=True)
    until(lambda: value(chromium, ink) == "#ececf0")
    until(lambda: value(chromium, "document.querySelector('#chart-opening svg').viewBox.baseVal.width") > 500)


def test_a_neuron_leads_to_its_page_and_on_to_the_next(page: Page) -> None:
    first, second = column(page, 1)[:2]
    press(page, "#neurons-table tbody a")
    until(lambda: value(page, "document.title") == first)
    press(page, "a[rel=next]")
    until(lambda: value(page, "document.title") == second)
    assert texts(page, "a[rel=prev]") == [f"\u2039 Rank 1: {first}"]
    press(page, "a[rel=up]")
    until(lambda: value(page, "document.title") == "snql report")


def test_short_tables_are_sorted_in_place(page: Page) -> None:
    table = "#table-top-neurons table"
    before = texts(page, f"{table} tbody tr td:nth-child(4)")
    press(page, f"{table} thead th:nth-child(4) button")
    falling = texts(page, f"{table} tbody tr td:nth-child(4)")
    press(page, f"{table} thead th:nth-child(4) button")
    rising = texts(page, f"{table} tbody tr td:nth-child(4)")
    assert [float(text) for text in falling] == sorted((float(text) for text in before), reverse=True)
    assert [float(text) for text in rising] == sorted(float(text) for text in before)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_scrolls_down_only(chromium: Page, report: Report, dark: bool) -> None:
    opened(chromium, report.index, width=360, dark=dark)
    page_open(chromium)
    assert value(chromium, "document.documentElement.scrollWidth") == 360
    assert value(chromium, "[...document.querySelectorAll('select, input')].every(e => e.offsetWidth <= 330)")


def page_open(page: Page) -> None:
    """Unfold everything."""
    page.execute_script("document.querySelectorAll('details').forEach(part => { part.open = true; })")


WITH_MORE_CHARTS = pytest.mark.slow("the page with one chart is looked at in the dark, that with all in the light")


@pytest.mark.parametrize(
    ("width", "dark", "which"),
    [(1280, False, "report"), (360, True, "tables"), pytest.param(360, True, "report", marks=WITH_MORE_CHARTS)],
)
def test_nothing_hinders_people_with_a_screen_reader_or_weak_eyes(
    chromium: Page, request: pytest.FixtureRequest, width: int, dark: bool, which: str
) -> None:
    opened(chromium, request.getfixturevalue(which).index, width=width, dark=dark)
    page_open(chromium)
    found = Axe().run(chromium, options={"runOnly": {"type": "tag", "values": STANDARDS}})
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found["violations"]] == []
    assert {"color-contrast", "label", "document-title"} <= {each["id"] for each in found["passes"]}


def test_the_page_has_landmarks_captions_and_labels(chromium: Page, report: Report) -> None:
    page = chromium
    opened(page, report.index)
    assert value(page, "['header', 'nav', 'main', 'footer'].every(tag => document.querySelector(tag))")
    assert value(page, "[...document.querySelectorAll('table')].every(table => table.caption.textContent.length > 5)")
    assert value(page, "[...document.querySelectorAll('main section')].every(s => s.ariaLabelledByElements.length)")
    assert value(page, "[...document.querySelectorAll('select, input')].every(e => e.labels.length === 1)")
    charts = value(
        page, "[...document.querySelectorAll('.chart .chart-wrapper')].map(e => e.getAttribute('aria-label'))"
    )
    assert charts and all(len(label) > 60 for label in charts)


def test_printing_unfolds_what_is_folded(page: Page) -> None:
    folded = "document.querySelectorAll('section > details:not([open])').length"
    assert value(page, folded) > 0
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert value(page, folded) == 0
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert value(page, folded) > 0


def test_without_scripts_the_first_rows_and_pictures_are_there(chromium: Page, report: Report) -> None:
    look(chromium)
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.get(report.index.as_uri())
        shown = chromium.find_element("css selector", "main").text
        pictures = chromium.find_elements("css selector", "figure img")
        assert all(picture.size["width"] > 100 for picture in pictures) and len(pictures) > 3
        assert "Without scripts only the first" in shown and "L" in shown
        assert len(chromium.find_elements("css selector", "#neurons-table tbody tr")) == 20
        assert len(chromium.find_elements("css selector", "#completions-list article")) == 5
        assert not any(control.is_displayed() for control in chromium.find_elements("css selector", "select"))
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on runs whose every text is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    with Database(folder / "x.duckdb") as database:
        with database.write() as connection:
            builder = Builder(connection)
            for number, text in enumerate(RUNS):
                scores = np.random.default_rng(number).lognormal(0, 1, (4, 50))
                builder.locate(text, scores, config={"before": text, "after": text, "positions": text})
            for text in (HOSTILE[1], HOSTILE[0]):
                builder.patch(f"{text} patch", source=text, datasets=(text, "y"), judges=(text,), texts=HOSTILE)
            connection.execute("UPDATE completions SET text = ?", ["\n".join(HOSTILE)])
        return build(database, folder / "out", ReportOptions(figures=("effect-size", "layers"), formats=("svg",))).index


def test_hostile_text_stays_text(chromium: Page, attacked: Path) -> None:
    complaints(chromium)
    opened(chromium, attacked)
    page_open(chromium)
    generator = random.Random(0)
    controls: list[Any] = value(
        chromium,
        "[...document.querySelectorAll('form.controls select')].map("
        "e => [e.form.id.split('-')[0], e.name, [...e.options].map(o => o.value)])",
    )
    for part, name, options in controls:
        choose(chromium, part, name, generator.choice(options))
    choose(chromium, "completions", "find", HOSTILE[0])
    choose(chromium, "neurons", "run", "0")
    choose(chromium, "completions", "show", "")
    assert value(chromium, "document.querySelectorAll('main img, main script, main iframe, [onload]').length") == 0
    own = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    assert value(chromium, own) == []
    shown = "\n".join(visible(text) for text in HOSTILE)
    assert shown in texts(chromium, "#completions-list dd")
    assert visible(RUNS[0]) in column(chromium, 2)
    assert complaints(chromium, "SEVERE") == []
    until(lambda: value(chromium, "document.readyState") == "complete")
