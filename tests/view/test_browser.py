"""The pages in a real browser: at both widths, in light and dark, beside a job that writes, and in many tabs."""

import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError

import pytest
from axe_core_python.selenium import Axe  # type: ignore[import-untyped]

from snql.db import Database
from snql.view.options import ViewOptions
from snql.view.serving import Served, serve

from ..reporting.browser import Page, complaints, look, needs_browser, requests, until, value
from ..reporting.conftest import chromium as chromium

pytestmark = needs_browser
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
PAGES = ("/", "/run/4", "/neuron/L1.N19", "/sql", "/compare?a=0.1&b=0.2")
MORE_PAGES = (
    *("/run/1", "/run/4/completions", "/sets?expr=safety:5%25", "/sets?expr=x", "/run/4/table/effects", "/nowhere"),
)
_MORE = pytest.mark.slow(reason="other pages of the same parts")
_WIDE = pytest.mark.slow(reason="narrow and in the dark it is looked at, too")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def path(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example in which a patch run is not done."""
    copy = tmp_path_factory.mktemp("served") / "x.duckdb"
    shutil.copy(database.path, copy)
    with Database(copy).write() as connection:
        connection.execute("UPDATE runs SET status = 'running', finished_at = NULL WHERE name = 'windows'")
    return copy


@pytest.fixture(scope="module")
def served(path: Path) -> Iterator[Served]:
    found = serve(path)
    found.start()
    yield found
    found.stop()


def root(served: Served) -> str:
    return served.address.partition("/?")[0]


@pytest.fixture
def page(chromium: Page, served: Served) -> Page:
    """A browser that has opened the address."""
    look(chromium)
    chromium.get(served.address)
    complaints(chromium), requests(chromium)
    return chromium


@pytest.mark.parametrize(
    ("address", "width", "dark"),
    [
        *((each, 390, True) for each in PAGES),
        *((each, 1280, False) for each in PAGES[:2]),
        *(pytest.param(each, 1280, False, marks=_WIDE) for each in PAGES[2:]),
        *(pytest.param(each, *look, marks=_MORE) for each in MORE_PAGES for look in ((1280, False), (390, True))),
    ],
)
def test_a_page_is_sound(page: Page, served: Served, address: str, width: int, dark: bool) -> None:
    """Nothing is asked of others, nothing is refused by the policy, all is on the screen, and everybody can read it."""
    look(page, width=width, dark=dark)
    page.get(root(served) + address)
    if address.startswith("/run/") and address.count("/") == 2:
        until(lambda: value(page, "document.querySelector('.chart.drawn') !== null"))
    assert value(page, "document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": STANDARDS}})
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
    assert [line for line in complaints(page) if "404" not in line and "400" not in line] == []
    asked = [each for each in requests(page) if not each.startswith(("data:", "blob:"))]
    assert asked and all(each.startswith(root(served)) for each in asked)


def test_sql_is_completed_run_and_drawn(page: Page, served: Served) -> None:
    page.get(f"{root(served)}/sql")
    page.execute_script(
        "const box = document.getElementById('sql-text'); box.focus();"
        "box.value = 'SELECT layer, avg(sco FROM neuron_scores GROUP BY layer ORDER BY layer';"
        "box.setSelectionRange(21, 21); box.dispatchEvent(new Event('input'));"
    )
    until(lambda: value(page, "document.querySelectorAll('#suggestions li').length"))
    assert str(value(page, "document.querySelector('#suggestions li').textContent")).startswith("score")
    key = "dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], ctrlKey: arguments[1], bubbles: true}))"
    page.execute_script(f"document.getElementById('sql-text').{key}", "Tab", False)
    page.execute_script("document.getElementById('sql-text').setRangeText(') AS mean', 23, 23, 'end')")
    written = str(value(page, "document.getElementById('sql-text').value"))
    assert written.startswith("SELECT layer, avg(score) AS mean FROM")
    page.execute_script(f"document.getElementById('sql-text').{key}", "Enter", True)
    until(lambda: value(page, "document.querySelector('#answer .chart.drawn') !== null"))
    assert value(page, "document.querySelectorAll('#answer tbody tr').length") == 6
    page.refresh()
    assert value(page, "document.getElementById('sql-text').value") == written, "it is in the address"
    assert complaints(page) == []


def test_the_basket_becomes_an_expression(page: Page, served: Served) -> None:
    for name in ("L1.N19", "L2.N3"):
        page.get(f"{root(served)}/neuron/{name}")
        page.execute_script("document.querySelector('[data-basket]').click()")
    page.get(f"{root(served)}/sets")
    assert value(page, "document.querySelector('#basket code').textContent") == "L1.N19,L2.N3"
    page.execute_script("document.querySelector('#basket a[href^=\"/sets\"]').click()")
    until(lambda: value(page, "document.querySelector('.size strong')?.textContent") == "2")
    page.execute_script("document.querySelector('[data-clear]').click()")
    assert value(page, "document.getElementById('basket').hidden")


def test_fifty_tabs_and_a_job_that_writes_meanwhile(page: Page, served: Served, path: Path) -> None:
    """Commits wait for pages for a moment alone, and an open page follows the job by itself."""
    page.get(root(served) + "/")
    amount = "document.querySelector('.is-running .amount').textContent"
    before = value(page, amount)
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    opener.open(served.address).close()
    ended, answers = threading.Event(), list[str]()

    def tab() -> None:
        while not ended.is_set():
            try:
                with opener.open(f"{root(served)}/progress") as answer:
                    answers.append(answer.reason)
            except OSError as error:
                answers.append(f"{error}: {error.read().decode() if isinstance(error, HTTPError) else ''}")
            ended.wait(1.0)

    tabs = [threading.Thread(target=tab) for _ in range(50)]
    for each in tabs:
        each.start()
    job = [sys.executable, "-m", "tests.view.writer", str(path), "8"]
    done = subprocess.run(job, cwd=ROOT, capture_output=True, text=True, timeout=120)
    ended.set()
    for each in tabs:
        each.join()
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 15.0  # jobs wait for 30
    assert len(answers) > 50 and set(answers) == {"OK"}
    until(lambda: value(page, amount) != before)


def test_a_server_that_was_started_again_has_another_key(page: Page, path: Path) -> None:
    first = serve(path)
    port = first.listening.getsockname()[1]
    first.start()
    page.get(first.address)
    first.stop()
    until(lambda: first.listening.fileno() == -1)
    again = serve(path, ViewOptions(port=port))
    again.start()
    page.get(f"{root(again)}/sets")
    assert "holds the key" in str(value(page, "document.body.textContent"))
    page.get(again.address)
    assert value(page, "document.querySelector('h1').textContent") == "Runs"
    again.stop()
