"""Prompt files in the formats that users have."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from snql.errors import InputError
from snql.prompts.read import read_prompts

TEXTS = ["How do I paint a door?", 'A comma, a "quote"\nand a line', "Ünïcode – ok"]


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
    ]
    frame.write_parquet(tmp_path / "e.parquet")
    (tmp_path / "f.jsonl.gz").write_bytes(gzip.compress(jsonl("prompt").encode()))
    for file in files:
        found = read_prompts([file])
        assert [prompt.text for prompt in found] == TEXTS, file
        assert [prompt.category for prompt in found] == ["c0", "c1", "c2"]
        assert {prompt.dataset for prompt in found} == {Path(file).name}


def test_plain_text_is_one_prompt_a_line(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "one\n\ntwo\none\n")
    assert [prompt.text for prompt in read_prompts([file])] == ["one", "two"]


@pytest.mark.parametrize("column", ["prompt", "goal", "Behavior", "question", "instruction"])
def test_columns_are_recognised(tmp_path: Path, column: str) -> None:
    found = read_prompts([write(tmp_path / "a.jsonl", jsonl(column))])
    assert [prompt.text for prompt in found] == TEXTS


def test_dialogues_give_everything_up_to_the_last_answer(tmp_path: Path) -> None:
    dialogues = [
        "\n\nHuman: Hello\n\nAssistant: Hi",
        "\n\nHuman: Hello\n\nAssistant: Hi\n\nHuman: More?\n\nAssistant: No",
    ]
    lines = "".join(json.dumps({"chosen": text, "rejected": "x"}) + "\n" for text in dialogues)
    found = read_prompts([write(tmp_path / "hh.jsonl", lines)])
    assert [prompt.text for prompt in found] == ["Hello", "Human: Hello\n\nAssistant: Hi\n\nHuman: More?"]


def test_limit_counts_distinct_prompts_of_each_set(tmp_path: Path) -> None:
    a = write(tmp_path / "a.txt", "one\none\ntwo\nthree\n")
    b = write(tmp_path / "b.txt", "one\n")
    assert [(p.dataset, p.text) for p in read_prompts([a, b], limit=2)] == [
        ("a.txt", "one"),
        ("a.txt", "two"),
        ("b.txt", "one"),
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
        ("a.jsonl", '{"x": "y"}\n', "has no known prompt column: its columns are x; use --prompt-column"),
        ("a.jsonl", '{"prompt": 3}\n', "column 'prompt' holds a int, not text"),
        ("a.jsonl", "{not json}\n", "cannot be read as .jsonl"),
        ("a.jsonl", "[1]\n", "line 1 is not an object"),
        ("a.json", '{"prompt": "x"}', "should hold a list of objects"),
        ("a.pdf", "x", "has an unknown type: use .jsonl"),
        ("a.parquet", "x", "cannot be read as .parquet"),
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
    with pytest.raises(InputError, match="--limit 0"):
        read_prompts([file], "text", limit=0)
