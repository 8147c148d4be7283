"""Conditions, duplicates, overlaps, samples and limits: what is left, and the counts of the rest."""

import json
from pathlib import Path

import polars as pl
import pytest

from snql.errors import InputError
from snql.prompts.options import PromptOptions
from snql.prompts.read import PromptSets, read_prompt_sets
from snql.prompts.types import RawPrompt


def rows(n: int = 40) -> list[dict[str, object]]:
    return [
        {
            "prompt": f"prompt {i % 30}",
            "category": "even" if i % 2 == 0 else "odd",
            "score": i / 2,
            "n": i,
            "mixed": i if i % 3 else str(i),
            "tags": {"big": i > 20},
            "Odd name": None if i % 5 else "five",
        }
        for i in range(n)
    ]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()), "utf-8")
    return str(path)


def read(file: str, *, seed: int = 0, excluded: tuple[str, ...] = (), **options: object) -> PromptSets:
    return read_prompt_sets(PromptOptions((file,), **options), seed=seed, excluded=excluded)  # type: ignore[arg-type]


def texts(sets: PromptSets) -> list[str]:
    return [prompt.text for prompt in sets.prompts]


def sha256(number: int) -> str:
    return RawPrompt("x", f"prompt {number}").sha256


@pytest.mark.parametrize(
    ("condition", "chosen"),
    [
        ("category = 'even'", lambda row: row["category"] == "even"),
        ("score > 3 AND score <= 9.5", lambda row: 3 < row["score"] <= 9.5),
        ("n BETWEEN 5 AND 8 OR \"Odd name\" = 'five'", lambda row: 5 <= row["n"] <= 8 or row["Odd name"] == "five"),
        ("tags ->> 'big' = 'true' -- a remark", lambda row: row["tags"]["big"]),
        ("mixed::INTEGER < 7", lambda row: int(row["mixed"]) < 7),
        ("n > (SELECT avg(n) FROM prompts)", lambda row: row["n"] > 19.5),
    ],
)
def test_where_is_sql_over_the_columns(file: str, condition: str, chosen: object) -> None:
    expected = dict.fromkeys(str(row["prompt"]) for row in rows() if chosen(row))  # type: ignore[operator]
    assert texts(read(file, where=condition)) == list(expected)


def test_where_reads_csv_and_parquet_columns(tmp_path: Path) -> None:
    frame = pl.DataFrame({"goal": ["a", "b", "c"], "n": [1, 2, 3], "day": ["2024-01-01", "2024-06-01", None]})
    frame.write_csv(tmp_path / "x.csv")
    frame.with_columns(pl.col("day").str.to_date()).write_parquet(tmp_path / "x.parquet")
    for name in ("x.csv", "x.parquet"):
        assert texts(read(str(tmp_path / name), where="n >= 2")) == ["b", "c"]
    assert texts(read(str(tmp_path / "x.parquet"), where="day > DATE '2024-03-01'")) == ["b"]
    assert texts(read(str(tmp_path / "x.csv"), where="day = ''")) == ["c"]
    (tmp_path / "y.csv").write_text("goal,score\na,1.5\nb,\nc,-2e3\n")
    assert texts(read(str(tmp_path / "y.csv"), where="score < 0 OR score IS NULL")) == ["b", "c"]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("n >", "Parser Error: syntax error"),
        ("nothing = 1", 'Referenced column "nothing" not found'),
        ("true); DELETE FROM prompts; SELECT (1", "it is more than one condition"),
        ("n IN (SELECT count(*) FROM read_csv('/etc/hosts'))", "file system operations are disabled"),
        ("category", "Could not convert string 'even' to BOOL"),
    ],
)
def test_where_that_fails(file: str, condition: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read(file, where=condition)
    assert f"`where` {condition!r} fails on prompt file" in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_row_is_counted_once(file: str) -> None:
    chosen = [row for row in rows() if row["category"] == "even"]
    distinct = list(dict.fromkeys(str(row["prompt"]) for row in chosen))
    left_out = ("prompt 0", "prompt 1", "prompt 2")
    excluded = tuple(sha256(number) for number in (0, 1, 2))
    found = read(file, where="category = 'even'", excluded=excluded, sample=8, limit=5)
    (counts,) = found.counts
    assert (counts.rows, counts.filtered, counts.blank) == (40, 20, 0)
    assert counts.duplicates == len(chosen) - len(distinct)
    assert counts.overlapping == len(set(distinct) & set(left_out)) == 2
    assert counts.unsampled == len(distinct) - 2 - 8
    assert (counts.cut, counts.kept, len(found.prompts)) == (3, 5, 5)
    assert not set(texts(found)) & set(left_out)
    assert counts.summary() == (
        "x.jsonl: 40 rows, 20 not chosen by --where, 5 dropped as duplicates, 2 left out because a ranking or another "
        "run used them, 5 not in the sample, 3 cut by --limit, 5 used"
    )


def test_duplicates_keep_the_first_row(file: str) -> None:
    found = read(file)
    assert texts(found) == [f"prompt {i}" for i in range(30)]
    assert (found.counts[0].duplicates, found.counts[0].kept) == (10, 30)
    Path(file).write_text('{"prompt": "a", "label": 1}\n{"prompt": "b", "label": 2}\n{"prompt": "a", "label": 3}\n')
    assert [prompt.label for prompt in read(file).prompts] == ["1", "2"]
    assert texts(read(file, where="label <> 2")) == ["a"]


def test_samples_are_seeded_ordered_and_nested(file: str, tmp_path: Path) -> None:
    everything = texts(read(file))
    small, large = texts(read(file, sample=6)), texts(read(file, sample=12))
    assert len(small) == 6
    assert set(small) < set(large)
    for drawn in (small, large):
        assert drawn == [text for text in everything if text in drawn]
    assert texts(read(file, sample=6)) == small
    others = {tuple(texts(read(file, sample=6, seed=seed))) for seed in range(5)}
    assert len(others) == 5
    assert texts(read(file, sample=500)) == everything
    # The draw is of texts, not of places in the file.
    shuffled = tmp_path / "y.jsonl"
    shuffled.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows())), "utf-8")
    assert set(texts(read(str(shuffled), sample=6))) == set(small)
    # Each prompt is drawn about as often as the others.
    counts = dict.fromkeys(everything, 0)
    for seed in range(400):
        for text in texts(read(file, sample=6, seed=seed)):
            counts[text] += 1
    assert 40 < min(counts.values()) <= max(counts.values()) < 130


def test_a_later_set_loses_what_an_earlier_one_uses(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "b.txt").write_text("two\nthree\nfour\n")
    both = (str(tmp_path / "a.txt"), str(tmp_path / "b.txt"))
    found = read_prompt_sets(PromptOptions(both))
    assert [(p.dataset, p.text) for p in found.prompts][3:] == [("b.txt", "four")]
    assert [counts.duplicates for counts in found.counts] == [0, 2]
    cut = read_prompt_sets(PromptOptions(both, limit=2))
    assert texts(cut) == ["one", "two", "three", "four"]
    with pytest.raises(
        InputError, match=r"all 3 prompts of a.txt are duplicates of earlier sets' prompts: leave it out"
    ):
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "b.txt").write_text("one\ntwo\nthree\n")
        read_prompt_sets(PromptOptions((str(tmp_path / "sub" / "b.txt"), both[0])))


def test_nothing_left_says_why(file: str) -> None:
    with pytest.raises(InputError, match=r"`where` leaves no prompt of x.jsonl: it chose 0 of 40 rows, 0 of them"):
        read(file, where="n > 1000")
    excluded = tuple(sha256(number) for number in range(30))
    with pytest.raises(InputError) as caught:
        read(file, where="n < 35", excluded=excluded)
    assert str(caught.value).startswith(
        "no prompt of x.jsonl is left: of 40 rows, `where` removed 5, 5 were duplicates, and 30 were used by the runs"
    )
    for option in ("limit", "sample"):
        with pytest.raises(InputError, match=f"`{option}` 0: at least one prompt is needed"):
            PromptOptions((file,), **{option: 0})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`where` is empty"):
        read(file, where=" ")
