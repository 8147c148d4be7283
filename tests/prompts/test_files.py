"""Rows of files: what a lenient reader would merge, drop or guess is read right or refused in one line."""

import csv
import gzip
import io
import lzma
import random
from pathlib import Path

import polars as pl
import pytest

from snql.errors import InputError
from snql.prompts.files import read_rows, read_text
from snql.prompts.sizes import MOST_BYTES

OPEN = 'prompt\tkind\nfirst\ta\n"quoted start\tb\nthird\tc\nfifth "word" here\te\nsixth\tf\n'


def read(path: Path, content: str) -> list[dict[str, object]]:
    path.write_text(content, "utf-8")
    return read_rows(path, path.name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.csv", 'prompt,kind\nfirst,a\n"unclosed,b\nthird,c\n', "line 3 has a quotation mark that opens a cell"),
        ("q.csv", '"prompt,kind\nfirst,a\n', "line 1 has a quotation mark that opens a cell"),
        ("q.csv", 'prompt\nfirst\n"yes", he said\n', "line 3 has more cells"),
        ("q.csv", 'prompt\nfirst\n"yes" he said\n', "line 3 has a quotation mark that opens a cell and does not end"),
        ("q.tsv", OPEN, "line 3 has a quotation mark that opens a cell"),
        ("q.tsv", 'prompt\tkind\n"open\ta\nclosed"\tb\n', "line 2 begins a cell in quotation marks that runs over"),
        (
            "q.csv",
            'id,prompt\n1,"Open one\n2,Second one\n3,Third"\n',
            "line 2 begins a cell in quotation marks that runs",
        ),
        ("q.csv", 'prompt,kind\nyes,a\n"Open,b\n\nThe next,c\nThird",d\n', "line 3 begins a cell in quotation marks"),
        ("n.csv", ",,prompt\n0,0,first\n", "two columns have no name: name them in the first line"),
        ("d.csv", "prompt,prompt\nfirst,second\n", "two columns are named 'prompt'"),
        ("d.tsv", "prompt\tx\tx\nfirst\ta\tb\n", "two columns are named 'x'"),
        ("d.json", '[{"prompt": "a", "prompt": "b"}]', "an object has the key 'prompt' twice"),
        ("d.jsonl", '{"prompt": "a"}\n{"prompt": "a", "prompt": "b"}\n', "line 2: an object has the key 'prompt'"),
        ("r.csv", "prompt,kind\nfirst,a\n\nsecond\n", "line 4 has fewer cells"),
        ("r.tsv", "prompt\tkind\nfirst\ta\tb\n", "line 2 has more cells"),
        ("j.jsonl", '{"prompt": "a"}\n{"prompt": }\n', "line 2, column 12: Expecting value"),
    ],
)
def test_malformed_rows_are_named_by_their_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path / name, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_whatever_a_writer_quotes_is_read_back(tmp_path: Path, delimiter: str) -> None:
    cells = ["plain", 'a "word", and\ta tab', "two\nlines", "tab\tand\nline", '"', "", " spaces "]
    rows = [{"prompt": cell, "": str(number)} for number, cell in enumerate(cells)]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["", "prompt"], delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "x").write_bytes(text.getvalue().encode())
    path = (tmp_path / "x").rename(tmp_path / ("x.csv" if delimiter == "," else "x.tsv"))
    assert read_rows(path, "x") == rows


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    for content in ("", "prompt,kind\n", "\n\n"):
        assert read(tmp_path / "e.csv", content) == []


@pytest.mark.parametrize(
    "cell",
    [
        "Dear Sir,\nI write to you,\nyours",
        "Is it so?\nYes, it is\nNo, it is not",
        "Add these:\n1,2\n3,4\n5,6",
        "print(a)\nf(b,c)",
        "one\n\ntwo",
    ],
)
@pytest.mark.parametrize("columns", [("id", "prompt"), ("prompt", "kind"), ("prompt",)])
def test_prompts_with_line_breaks_are_no_rows(tmp_path: Path, cell: str, columns: tuple[str, ...]) -> None:
    given = [{"id": "x7", "kind": "a", "prompt": cell}, {"id": "x8", "kind": "b", "prompt": "Another"}]
    rows = [{name: row[name] for name in columns} for row in given]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "x.csv").write_bytes(text.getvalue().encode())
    assert read_rows(tmp_path / "x.csv", "x.csv") == rows


def _packed(folder: Path) -> list[Path]:
    """Files of a few kilobytes that hold a million bytes and more: of zeros, of one word, of one value."""
    data = {"zeros.txt": b"\0" * 10**6, "words.jsonl": b'{"prompt": "a"}\n' * 10**5}
    for name, content in data.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        (folder / f"{name}.xz").write_bytes(lzma.compress(content))
    (folder / "plain.txt").write_bytes(data["zeros.txt"])
    pl.DataFrame({"prompt": ["a" * 1000]}).select(pl.all().repeat_by(2_000).explode()).write_parquet(
        folder / "text.parquet"
    )
    pl.DataFrame({"prompt": [0]}).select(pl.all().repeat_by(2 * 10**5).explode()).write_parquet(folder / "rows.parquet")
    return sorted(folder.iterdir())


def test_files_that_hold_more_than_they_may_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MOST_BYTES, "999999")
    for path in _packed(tmp_path):
        assert path.stem == "plain" or path.stat().st_size < 300_000
        with pytest.raises(InputError, match="holds more than 999,999 bytes, unpacked: split it, or allow more with"):
            read_rows(path, path.name)
        if path.suffix != ".parquet":
            with pytest.raises(InputError, match="holds more than 999,999 bytes"):
                read_text(path, path.name)
    monkeypatch.setenv(MOST_BYTES, "2000000")
    assert len(read_rows(tmp_path / "words.jsonl.xz", "x")) == 10**5
    for number in ("x", "-1", "1e9", "9" * 5000, "٣"):
        monkeypatch.setenv(MOST_BYTES, number)
        with pytest.raises(InputError, match="is no number of bytes"):
            read_rows(tmp_path / "plain.txt", "x")


@pytest.mark.parametrize("name", ["x.txt.gz", "x.jsonl.xz", "x.parquet", "x.csv.gz", "x.json", "x.tsv"])
def test_damaged_bytes_of_any_type_are_one_line(tmp_path: Path, name: str) -> None:
    draw = random.Random(name)
    whole = gzip.compress(b"one\ntwo\n" * 50) if name.endswith("gz") else b"PAR1" + draw.randbytes(80) + b"PAR1"
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(draw.randrange(1, 5)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        (tmp_path / name).write_bytes(data[: draw.randrange(1, len(data) + 1)])
        try:
            read_rows(tmp_path / name, name)
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) <= 510
