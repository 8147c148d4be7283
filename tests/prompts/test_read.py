"""Prompt files in the formats that users have."""

import gzip
import json
import lzma
from pathlib import Path

import polars as pl
import pytest

from snql.errors import InputError
from snql.prompts.options import PromptOptions
from snql.prompts.read import read_prompt_sets
from snql.prompts.types import RawPrompt

TEXTS = ["How do I paint a door?", 'A comma, a "quote"\nand a line', "Ünïcode – ok"]


def read_prompts(sources: list[str], column: str | None = None, limit: int | None = None) -> list[RawPrompt]:
    return read_prompt_sets(PromptOptions(tuple(sources), prompt_column=column, limit=limit)).prompts


def write(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def jsonl(column: str) -> str:
    return "".join(json.dumps({column: text, "category": f"c{i}"}) + "\n" for i, text in enumerate(TEXTS))


def test_every_format_gives_the_same_prompts(tmp_path: Path) -> None:
    frame = pl.DataFrame({"prompt": TEXTS, "category": ["c0", "c1", "c2"]})
    files = [
        write(tmp_path / "a.jsonl", jsonl("prompt")),
        write(tmp_path / "b.json", json.dumps(frame.to_dicts())),
        write(tmp_path / "c.csv", frame.write_csv()),
        write(tmp_path / "d.tsv", frame.write_csv(separator="\t")),
        str(tmp_path / "e.parquet"),
        str(tmp_path / "f.jsonl.gz"),
        str(tmp_path / "g.csv.xz"),
    ]
    frame.write_parquet(tmp_path / "e.parquet")
    (tmp_path / "f.jsonl.gz").write_bytes(gzip.compress(jsonl("prompt").encode()))
    (tmp_path / "g.csv.xz").write_bytes(lzma.compress(frame.write_csv().encode()))
    for file in files:
        found = read_prompts([file])
        assert [prompt.text for prompt in found] == TEXTS, file
        assert [prompt.category for prompt in found] == ["c0", "c1", "c2"]
        assert {prompt.dataset for prompt in found} == {Path(file).name}


def test_plain_text_is_one_prompt_a_line(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "one\n\ntwo\none\n")
    assert [prompt.text for prompt in read_prompts([file])] == ["one", "two"]


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    """U+2028 and form feeds are ordinary characters of a JSON string, and of a prompt."""
    odd = "one\u2028two\x0cthree"
    (tmp_path / "a.jsonl").write_bytes((json.dumps({"prompt": odd.replace("\x0c", "")}, ensure_ascii=False)).encode())
    (tmp_path / "b.txt").write_bytes(f"{odd}\r\nfour\r\n".encode())
    assert [prompt.text for prompt in read_prompts([str(tmp_path / "a.jsonl")])] == ["one\u2028twothree"]
    assert [prompt.text for prompt in read_prompts([str(tmp_path / "b.txt")])] == [odd, "four"]


@pytest.mark.parametrize(
    "column", ["prompt", "goal", "Goal", "Behavior", "question", "Question", "instruction", "forbidden"]
)
def test_columns_are_recognised(tmp_path: Path, column: str) -> None:
    chosen = "forbidden" if column == "forbidden" else None
    found = read_prompts([write(tmp_path / "a.jsonl", jsonl(column))], chosen)
    assert [prompt.text for prompt in found] == TEXTS


def test_companion_columns(tmp_path: Path) -> None:
    harmbench = write(
        tmp_path / "harmbench.csv",
        "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
        'Do it,contextual,illegal,,"Some context",a\n'
        "Do that,standard,cybercrime,,,b\n",
    )
    found = read_prompts([harmbench])
    assert [prompt.text for prompt in found] == ["Some context\n\n---\n\nDo it", "Do that"]
    assert [prompt.category for prompt in found] == ["illegal", "cybercrime"]
    assert [prompt.text for prompt in read_prompts([harmbench], "Behavior")] == ["Do it", "Do that"]
    rows = [
        {"instruction": "Translate.", "input": "Bonjour", "output": "Hello"},
        {"instruction": "Count to 3.", "input": "", "output": "1 2 3"},
    ]
    alpaca = write(tmp_path / "alpaca.json", json.dumps(rows))
    assert [prompt.text for prompt in read_prompts([alpaca])] == ["Translate.\n\nBonjour", "Count to 3."]


def test_categories_and_labels(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "category": {"violence": True, "drugs": False, "theft": True}, "is_safe": False},
        {"prompt": "b", "category": {"violence": False, "drugs": False, "theft": False}, "is_safe": True},
        {"prompt": "c", "Category": "fraud", "label": 3},
    ]
    lines = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    found = read_prompts([lines])
    assert [(p.category, p.label) for p in found] == [("violence, theft", "unsafe"), (None, "safe"), ("fraud", "3")]


def test_limit_counts_distinct_prompts_of_each_set(tmp_path: Path) -> None:
    a = write(tmp_path / "a.txt", "one\none\ntwo\nthree\n")
    b = write(tmp_path / "b.txt", "one\nfour\n")
    assert [(p.dataset, p.text) for p in read_prompts([a, b], limit=2)] == [
        ("a.txt", "one"),
        ("a.txt", "two"),
        ("b.txt", "four"),
    ]


def test_bundled_sets() -> None:
    found = read_prompts(["demo:harmful"], limit=3)
    assert [prompt.dataset for prompt in found] == ["demo:harmful"] * 3
    assert all(prompt.label == "harmful" for prompt in found)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "holds no prompts: it is empty"),
        ("a.jsonl", '{"prompt": ""}\n', "holds no prompts"),
        ("a.jsonl", '{"x": "y"}\n', "has no known prompt column: its columns are x; use `prompt_column`"),
        ("a.jsonl", '{"prompt": 3}\n', "column 'prompt' holds a int, not text"),
        ("a.jsonl", "{not json}\n", "cannot be read as .jsonl"),
        ("a.jsonl", "[1]\n", "line 1 is not an object"),
        ("a.json", '{"prompt": "x"}', "should hold a list of objects"),
        ("a.pdf", "x", "has an unknown type: use .jsonl"),
        ("a.parquet", "x", "cannot be read as .parquet"),
        ("a.json", "", "holds no prompts: it is empty"),
        ("a.json", "[" * 100_000, "cannot be read as .json"),
        ("a.csv", "prompt,x\na,b,c\n", "line 2 has more cells than the first line has column names"),
        ("a.jsonl", '{"prompt": "\\ud800"}\n', "holds half of a surrogate pair"),
        ("a.jsonl", '{"chosen": "hello"}\n', "column 'chosen' holds no dialogue: it has no turn that begins with"),
        ("a.jsonl", '{"messages": "x"}\n', "is expected, and this is no JSON (Expecting value"),
        ("a.jsonl", '{"messages": ["x"]}\n', "holds no dialogue: it is not a list of messages"),
        ("a.jsonl", '{"messages": [{"role": "tool", "content": "x"}]}\n', "has the role 'tool': known roles are"),
        ("a.txt", "one\none\none\n", "all 3 prompts of a.txt are duplicates of one another: check `prompt_column`"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError, match="a[.]") as caught:
        read_prompts([write(tmp_path / name, content)])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(jsonl("prompt").encode())[:-9])
    file = write(tmp_path / "a.jsonl", jsonl("text"))
    for sources, column, message in (
        ([str(tmp_path / "none.csv")], None, "no prompt file .*none.csv"),
        ([str(tmp_path / "latin.txt")], None, "not UTF-8 text"),
        ([str(tmp_path / "cut.jsonl.gz")], None, "cannot be read as .jsonl"),
        (["demo:nothing"], None, "no bundled prompt set 'demo:nothing': the bundled sets are demo:"),
        ([file], "goal", "has no column 'goal': its columns are text, category"),
        ([file, file], "text", "two prompt sets are both named 'a.jsonl'"),
    ):
        with pytest.raises(InputError, match=message):
            read_prompts(sources, column)
    assert [prompt.text for prompt in read_prompts([file], "text")] == TEXTS
    with pytest.raises(InputError, match="`limit` 0"):
        read_prompts([file], "text", limit=0)
