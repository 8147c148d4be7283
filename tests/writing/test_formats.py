"""Each format, read back by another program where there is one."""

import csv
import json
from io import BytesIO, StringIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from snql.db.connection import Database
from snql.errors import InputError
from snql.querying.execute import run
from snql.writing.formats import FORMATS, write
from snql.writing.rows import FrameSource

MIXED = """
SELECT * FROM (VALUES
    (1, 0.5, 'a|b_c', [1, 2], DATE '2020-01-02', NULL, 3::HUGEINT),
    (-2, 'nan'::DOUBLE, '=1+1', NULL, NULL, NULL, NULL),
    (3, 'inf'::DOUBLE, '<b>x</b>', [], NULL, NULL, 4)
) AS t(n, x, s, l, d, nothing, big)
"""


def written(db: Database, sql: str, format_name: str) -> bytes:
    db.initialise()
    sink = BytesIO()
    run(db, sql, lambda result: write(result, format_name, sink))
    return sink.getvalue()


def test_csv_and_tsv(db: Database) -> None:
    for name, separator in (("csv", ","), ("tsv", "\t")):
        rows = list(csv.DictReader(StringIO(written(db, MIXED, name).decode()), delimiter=separator))
        assert [row["n"] for row in rows] == ["1", "-2", "3"]
        assert [row["s"] for row in rows] == ["a|b_c", "'=1+1", "<b>x</b>"]
        assert [row["l"] for row in rows] == ["[1, 2]", "", "[]"]
        assert [row["x"] for row in rows] == ["0.5", "NaN", "inf"]
        assert [float(row["big"] or 0) for row in rows] == [3, 0, 4]
        assert rows[0]["d"] == "2020-01-02"


def test_csv_of_many_batches_is_that_of_polars(db: Database) -> None:
    data = written(db, "SELECT range AS a, 'v' || range AS b FROM range(250000)", "csv")
    frame = pl.read_csv(data)
    assert frame["a"].to_list() == list(range(250_000))
    assert frame["b"][-1] == "v249999"


def test_json_and_jsonl(db: Database) -> None:
    rows = json.loads(written(db, MIXED, "json"))
    assert rows == [json.loads(line) for line in written(db, MIXED, "jsonl").splitlines()]
    assert rows[0] == {"n": 1, "x": 0.5, "s": "a|b_c", "l": [1, 2], "d": "2020-01-02", "nothing": None, "big": 3}
    assert [row["x"] for row in rows] == [0.5, None, None]
    assert json.loads(written(db, "SELECT 1 WHERE false", "json")) == []
    decimals = json.loads(
        written(db, "SELECT 1.25::DECIMAL(9, 2) AS a, sum(x) AS b FROM (VALUES (1), (2)) t(x)", "json")
    )
    assert decimals == [{"a": 1.25, "b": 3}]


def test_parquet_and_arrow(db: Database) -> None:
    table = pq.read_table(BytesIO(written(db, MIXED, "parquet")))
    same = pa.ipc.open_file(BytesIO(written(db, MIXED, "arrow"))).read_all()
    assert table.column_names == same.column_names == ["n", "x", "s", "l", "d", "nothing", "big"]
    assert table["s"].to_pylist() == same["s"].to_pylist() == ["a|b_c", "=1+1", "<b>x</b>"]
    assert table["l"].to_pylist() == [[1, 2], None, []]


def test_markdown_and_latex(db: Database) -> None:
    lines = written(db, MIXED, "markdown").decode().splitlines()
    assert lines[1] == "| ---: | ---: | --- | --- | --- | --- | ---: |"
    assert lines[2].startswith("| 1 | 0.5 | a\\|b\\_c | &#91;1, 2&#93; |")
    assert "&lt;b&gt;x" in lines[4]
    latex = written(db, "SELECT 'a_b & \\input{x}' AS t, 0.5 AS v", "latex").decode()
    assert r"a\_b \& \textbackslash{}input\{x\}" in latex
    assert "\\toprule" in latex


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "table"])
def test_a_frame_and_a_result_give_the_same(db: Database, name: str) -> None:
    sql = "SELECT 'x' || range AS a, range * 0.5::DOUBLE AS b, [range] AS c FROM range(7)"
    data = written(db, sql, name)
    sink = BytesIO()
    write(FrameSource(db.frame(sql)), name, sink)
    if name in ("parquet", "arrow"):
        read = pl.read_parquet if name == "parquet" else pl.read_ipc
        assert read(BytesIO(data)).equals(read(BytesIO(sink.getvalue())))
    else:
        assert data == sink.getvalue()


def test_types_that_have_no_form(db: Database) -> None:
    for name in ("csv", "parquet"):
        try:
            written(db, "SELECT INTERVAL 1 MONTH AS i", name)
        except InputError as error:
            assert "cast it, such as x::VARCHAR" in str(error)
    with pytest.raises(InputError, match=r"`format_name` 'xml' is not known: use table, csv"):
        written(db, "SELECT 1", "xml")


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "table"])
def test_two_columns_of_one_name_are_refused(db: Database, name: str) -> None:
    with pytest.raises(InputError, match="two columns are named 'x': give one another name"):
        written(db, "SELECT a.x, b.x FROM (VALUES (1)) AS a(x), (VALUES (2)) AS b(x)", name)


def test_headers_enumerations_and_returns_are_inert(db: Database) -> None:
    sql = "SELECT '=1+1'::ENUM('=1+1') AS \"=cmd\", 'a' || chr(13) || 'b' AS \"t" + "\x1b" + 'x"'
    assert written(db, sql, "csv").decode() == "'=cmd,t␛x\n'=1+1,a␍b\n"
    assert b"\xc2\x9b" not in written(db, "SELECT chr(155) AS x", "json")
    assert json.loads(written(db, "SELECT chr(155) AS x", "jsonl")) == {"x": "\x9b"}


def test_times_with_a_zone(db: Database) -> None:
    row = json.loads(written(db, "SELECT TIMESTAMPTZ '2026-01-02 03:04:05+00' AS t", "jsonl"))
    assert row["t"].startswith("2026-01-02T")


def test_dates_that_have_no_form(db: Database) -> None:
    with pytest.raises(InputError, match="cast it, such as x::VARCHAR"):
        written(db, "SELECT DATE '290000-01-01' AS d", "csv")
