"""How fast a report's page opens, and how large it is, with as much in it as fits: 10,000 neurons, 5,000 completions.

Times are measured in a headless Chromium: *read* until the browser has all of the page, its tables filled (the load
event), *drawn* until the last chart is drawn too, each the median of several openings; *turned* is one sort of all
neurons. Beside them the size of the page, and how long `snql report` takes to write it. On two cores.

Needs chromium and chromedriver, and the package's test dependencies.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measured import Result, arguments, show

sys.path.insert(0, str(Path(__file__).parents[1]))

from snql.reporting.build import build
from snql.reporting.options import ReportOptions
from tests.reporting.browser import CHROMIUM, DRIVER, Page, browser, look, until, value
from tests.reporting.large import large

LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
SORT = """
(() => {
  const begin = performance.now();
  document.querySelector('[data-key=score] button').click();
  return performance.now() - begin;
})()
"""


def open_page(page: Page, file: Path) -> tuple[float, float, float]:
    """Seconds until the page is read, until its charts are drawn, and of one sort."""
    look(page)
    page.get("about:blank")
    page.get(file.as_uri())
    read = until(lambda: value(page, LOADED)) / 1000
    until(lambda: value(page, "document.documentElement.classList.contains('all-drawn')"), 60)
    drawn = value(page, "performance.getEntriesByName('all-drawn')[0].startTime") / 1000
    return read, drawn, value(page, SORT) / 1000


def timed(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def main() -> None:
    """Build the database, write the report, open it."""
    given = arguments(__doc__)
    if CHROMIUM is None or DRIVER is None:
        sys.exit("no chromium with a chromedriver: apt-get install chromium-driver")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with large(folder / "x.duckdb") as database:
            written = timed(lambda: build(database, folder / "out", ReportOptions(formats=("svg",))))
        file = folder / "out" / "index.html"
        with browser(folder / "profile") as page:
            open_page(page, file)
            times = [open_page(page, file) for _ in range(3 if given.quick else 9)]
        read, drawn, turned = (statistics.median(each) for each in zip(*times, strict=True))
        size = file.stat().st_size / 1e6
    results = [
        Result("page opens: read [s]", read, "<= 2"),
        Result("page opens: all charts drawn [s]", drawn, "<= 2"),
        Result("10,000 neurons sorted [s]", turned, "<= 0.2"),
        Result("size of the page [MB]", size, "<= 15"),
        Result("report written [s]", written),
    ]
    show(results, given.json)


if __name__ == "__main__":
    main()
