"""SQL on a page: the same answers and limits as ``snql query``, stopped when nobody waits."""

import csv
import html
import io
import json
import re
import threading
import time
from http.client import HTTPConnection
from urllib.parse import urlencode

import polars as pl
import pytest
from starlette.testclient import TestClient

from snql.db import Database
from snql.querying.execute import query
from snql.querying.questions import ask
from snql.view.options import ViewOptions
from snql.view.serving import Served, serve

from .conftest import ADDRESS

ENDLESS = "SELECT sum(a.range * b.range) FROM range(10000000) AS a, range(10000000) AS b"


def posted(user: TestClient, path: str = "/sql", status: int = 200, **fields: object) -> str:
    answer = user.post(path, data={name: str(value) for name, value in fields.items()}, headers={"origin": ADDRESS})
    assert answer.status_code == status, answer.text
    return answer.text


def rows(page: str) -> list[list[str]]:
    body = page.partition('id="answer"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    found = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr>.*?</tr>", body, re.DOTALL)]
    return [[html.unescape(cell) for cell in row] for row in found]


def test_an_answer_is_that_of_snql_query(user: TestClient, database: Database) -> None:
    columns = "run, layer, count(*) AS n, avg(score) AS mean"
    sql = f"SELECT {columns} FROM neuron_scores WHERE rank <= $top GROUP BY ALL ORDER BY ALL"
    page = posted(user, sql=sql, given="top=100")
    expected = query(database, sql, {"top": 100})
    assert [row[:3] for row in rows(page)] == [[r[0], str(r[1]), str(r[2])] for r in expected.iter_rows()]
    assert [float(row[3]) for row in rows(page)] == pytest.approx(expected["mean"].to_list(), abs=6e-4)


def test_a_question_leaves_memory_to_jobs(user: TestClient) -> None:
    assert rows(posted(user, sql="SELECT current_setting('memory_limit')")) == [["3.7 GiB"]], "4GB, not most of all"


def test_a_question_with_its_parameters(user: TestClient, database: Database) -> None:
    page = posted(user, question="shared_neurons", p_runs="safety,helpful", p_percent="5")
    expected = query(database, *ask(database, "shared_neurons", {"runs": "safety,helpful", "percent": 5}))
    assert len(rows(page)) == min(1_000, len(expected)) > 0
    assert 'name="p_runs" value="safety,helpful"' in page
    assert "needs runs" in html.unescape(posted(user, status=400, question="shared_neurons"))


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1 FROM nowhere", "nowhere"),
        ("SELEC 1", "syntax error"),
        ("", "the query is empty"),
        ("CREATE TABLE x AS SELECT 1", "read-only"),
        ("DELETE FROM runs", "read-only"),
        ("COPY runs TO '/tmp/out.csv'", "file system operations are disabled"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled"),
        ("INSTALL httpfs", "extensions are not loaded"),
        ("SET enable_external_access = true", "locked"),
        ("SELECT $x", "needs a value for $x"),
        ("SELECT 1 AS a, 2 AS a", "two columns are named 'a'"),
    ],
)
def test_what_is_not_answered(user: TestClient, sql: str, words: str) -> None:
    page = html.unescape(posted(user, status=400, sql=sql))
    assert words in page.partition('role="alert"')[2].partition("</div>")[0]


def test_only_own_pages_may_ask(user: TestClient) -> None:
    assert user.post("/sql", data={"sql": "SELECT 1"}).status_code == 403
    assert user.post("/sql", data={"sql": "SELECT 1"}, headers={"origin": "http://evil.example"}).status_code == 403
    assert 'id="sql-text"' in user.get("/sql?sql=SELECT+42").text and rows(user.get("/sql?sql=SELECT+42").text) == []


def test_a_long_answer_is_cut_on_the_page_and_whole_in_files(user: TestClient, database: Database) -> None:
    sql = "SELECT run, layer, neuron, score FROM neuron_scores ORDER BY ALL"
    page = posted(user, sql=sql)
    assert len(rows(page)) == 1_000 and "rows, the first of more" in page
    expected = query(database, sql)
    found = user.post("/sql/download", data={"sql": sql, "format": "parquet"}, headers={"origin": ADDRESS})
    assert found.headers["content-disposition"] == 'attachment; filename="query.parquet"'
    assert pl.read_parquet(io.BytesIO(found.content)).equals(expected)
    lines = list(csv.reader(io.StringIO(posted(user, "/sql/download", sql=sql, format="csv"))))
    assert lines[0] == expected.columns and len(lines) == len(expected) + 1
    assert json.loads(posted(user, "/sql/download", sql="SELECT 1 AS a", format="json")) == [{"a": 1}]
    assert "format 'exe' is not known" in html.unescape(posted(user, "/sql/download", 400, sql=sql, format="exe"))


def test_a_chart_where_two_columns_are_numbers(user: TestClient) -> None:
    sql = "SELECT run, layer, avg(score) AS mean, count(*) AS n FROM neuron_scores GROUP BY ALL ORDER BY ALL"
    page = posted(user, sql=sql, x="layer", y="n")
    spec = json.loads(page.partition('data-target="chart-answer">')[2].partition("</script>")[0])
    (values,) = spec["datasets"].values()
    assert {row["x"] for row in values} == set(range(6)) and {row["y"] for row in values} == {200}
    assert spec["encoding"]["color"]["title"] == "run"
    assert 'class="chart-spec"' not in posted(user, sql="SELECT run, layer FROM neuron_scores")
    assert 'class="chart-spec"' not in posted(user, sql="SELECT 1 AS a, 2 AS b")


def test_what_can_be_written_next(user: TestClient) -> None:
    found = json.loads(posted(user, "/sql/complete", sql="SELECT ran FROM neuron_scores", position=10))
    assert found[0] == {"text": "rank", "kind": "column", "length": 3}
    runs = json.loads(posted(user, "/sql/complete", sql="SELECT * FROM neuron_scores WHERE run = 's", position=42))
    assert [one["text"] for one in runs] == ["safety", "sweep"]
    for position in ("-1", "x", "99"):
        assert json.loads(posted(user, "/sql/complete", sql="SELECT 1", position=position)) == []


def test_a_form_that_is_too_long(user: TestClient) -> None:
    posted(user, status=413, sql="x" * 1_100_000)
    assert "more than 100,000 characters" in posted(user, status=400, sql="x" * 100_001)


@pytest.fixture
def served(database: Database) -> Served:
    found = serve(database.path, ViewOptions(timeout=15.0))
    found.start()
    return found


def test_a_question_ends_when_the_page_is_left(served: Served) -> None:
    """Then the file is free again at once: a second question is put while the first would still run."""
    host, _, token = served.address.removeprefix("http://").partition("/?token=")
    headers = {"origin": f"http://{host}", "cookie": f"snql_{host.partition(':')[2]}={token}"}
    headers["content-type"] = "application/x-www-form-urlencoded"
    leaving = HTTPConnection(host, timeout=30)
    leaving.request("POST", "/sql", urlencode({"sql": ENDLESS}), headers)
    time.sleep(1.0)
    assert any(thread.name == "snql-query" for thread in threading.enumerate())
    leaving.close()
    began = time.monotonic()
    while any(thread.name == "snql-query" for thread in threading.enumerate()):
        assert time.monotonic() - began < 5, "the query goes on"
        time.sleep(0.05)
    asked = HTTPConnection(host, timeout=30)
    asked.request("POST", "/sql", urlencode({"sql": "SELECT 42"}), headers)
    assert b">42<" in asked.getresponse().read()
    served.stop()
