"""How fast the pages of ``snql view`` are: of a database of Llama-3-8B's size, asked for as a browser does.

The database is that of ``benchmarks/query.py``: 7 locate runs of 458,752 neurons, and 300 million token activations as
rows. The server is a process of its own with two threads for DuckDB; each page is asked for anew over one connection,
the file in the page cache. Times are medians in milliseconds, from the request to the last byte. Then 1,000 pages of
neurons, another one each time: the memory of the server after the first hundred and after all of them.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import polars as pl
import psutil
from measured import Result, arguments, show
from query import FULL, QUICK, THREADS, Size, build_activations, build_scores

from snql.db.connection import Access, Database
from snql.db.scores import read_scores

N_PAGES = 1_000
PAGES = {
    "Runs": "/",
    "a locate run": "/run/1",
    "progress": "/progress",
    "Sets, top 5 % of two runs": "/sets?expr=run1%3A5%25%20%26%20run2%3A5%25",
    "SQL": "/sql",
    "Compare, two rankings": "/compare?a=0.1&b=0.2",
}


@dataclass(frozen=True)
class Browser:
    """One connection to a server, with its cookie. process: of the server."""

    connection: HTTPConnection
    headers: dict[str, str]
    process: psutil.Process

    def took(self, path: str, fields: dict[str, str] | None = None) -> float:
        """Milliseconds until the whole page is there."""
        began = time.perf_counter()
        body = None if fields is None else urlencode(fields)
        self.connection.request("GET" if fields is None else "POST", path, body, self.headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        return 1000 * (time.perf_counter() - began)

    def megabytes(self) -> float:
        return float(self.process.memory_info().rss / 1e6)


@contextmanager
def browser(path: Path) -> Iterator[Browser]:
    """A server on the database, and somebody who has opened its address."""
    command = [
        sys.executable,
        "-m",
        "snql",
        "--quiet",
        "--db",
        str(path),
        "view",
        "--no-open",
        "--threads",
        str(THREADS),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        try:
            address = server.stdout.readline().strip() if server.stdout else ""
            host, _, token = address.removeprefix("http://").partition("/?token=")
            headers = {"Cookie": f"snql_{host.partition(':')[2]}={token}", "Origin": f"http://{host}"}
            yield Browser(HTTPConnection(host), headers, psutil.Process(server.pid))
        finally:
            server.terminate()


def measured(path: Path, size: Size, n_pages: int) -> Iterator[Result]:
    """All pages, and memory over many of them."""
    top = read_scores(Database(path), "run1").filter(pl.col("rank") <= size.k)
    kept = [f"/neuron/L{layer}.N{neuron}?run=1" for layer, neuron in _sample(top, n_pages)]
    others = [f"/neuron/L{layer}.N{neuron}?run=2" for layer, neuron in _sample(read_scores(Database(path), "run2"), 20)]
    with browser(path) as asked:
        for name, address in PAGES.items():
            asked.took(address)
            times = [asked.took(address) for _ in range(size.repeats)]
            yield Result(name, statistics.median(times), "<= 500")
        sql = {"sql": "SELECT layer, count(*) AS n FROM top_neurons('run1', 1000) GROUP BY layer"}
        yield Result(
            "SQL, an answer with its chart", statistics.median(asked.took("/sql", sql) for _ in range(5)), "<= 500"
        )
        yield Result("a neuron without tokens", statistics.median(map(asked.took, others)), "<= 200")
        first = [asked.took(address) for address in kept[: n_pages // 10]]
        early = asked.megabytes()
        rest = [asked.took(address) for address in kept[n_pages // 10 :]]
        yield Result(f"a neuron with {size.n_tokens:,} tokens", statistics.median(first + rest), "<= 200")
        yield Result(f"memory after {n_pages // 10:,} pages of neurons, MB", early)
        yield Result(f"memory after {n_pages:,}, MB", asked.megabytes(), f"<= {1.15 * early:.0f}")


def _sample(rows: pl.DataFrame, most: int) -> list[tuple[int, int]]:
    chosen = rows.sample(min(most, len(rows)), seed=1, shuffle=True)
    return [(int(layer), int(neuron)) for layer, neuron in chosen.select("layer", "neuron").iter_rows()]


if __name__ == "__main__":
    given = arguments(__doc__)
    chosen = QUICK if given.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "big.duckdb"
        database = Database(file, access=Access(threads=THREADS))
        database.initialise()
        build_scores(database, chosen)
        build_activations(database, chosen, 1, "rows")
        show(list(measured(file, chosen, N_PAGES // (10 if given.quick else 1))), given.json)
