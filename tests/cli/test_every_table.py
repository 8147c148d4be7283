"""The tables of commands at four widths, of a database with something of everything: nothing is cut or hidden."""

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from snql.cli import neuron_view, render
from snql.cli.table import Column

from snql.capability import divergence, lm_eval, perplexity
from snql.contrast import locate
from snql.contrast.null import NullResult
from snql.db.connection import Database
from snql.guard import comparing
from snql.guard.learn import GuardResult
from snql.guard.measures import MEASURES
from snql.guard.testing import GuardTestResult
from snql.judges import stored
from snql.judges.stored import JudgeResult
from snql.lens import lens
from snql.patching import patch, tax
from snql.rankings import overlaps
from snql.scorers.compare import Comparison, sentences

from ..db.filled import fill
from .conftest import Snql

BETWEEN = pytest.mark.slow("a width between two that are looked at always; made-up tables have each: test_table.py")
WIDTHS = (60, pytest.param(80, marks=BETWEEN), pytest.param(100, marks=BETWEEN), 120)
MODELS = ["--before", "b", "--after", "a", "--prompts", "demo:harmful"]
PATCHED = ["--recipient", "b", "--donor", "a", "--neurons", "safety:5%", "--prompts", "demo:harmful", "--judge", "cost"]
READING = [
    "runs",
    "show safety --kind patch --all",
    "show safety --kind locate",
    "show safety --kind locate --prompts",
    "sets",
    "sets show mine",
    "judges",
    "judges compare safety cost reward --kind patch",
    "overlap safety helpful other",
    "overlap safety helpful --curve",
    "stability safety helpful",
    "neurons safety:10",
    "neurons L0 --limit 3 --run safety --run helpful --run other --run scored",
    "neuron L0.N3",
    "neuron L0.N3 --all",
    "query --list",
    "db schema runs",
    "db schema",
    "report --list",
    "paper --list",
    "paper fig2 --dry-run",
    "prompts demo:harmful",
]
ANSWERING = ["--model", "b", "--prompts", "demo:harmful", "--benign", "demo:benign", "--judge", "cost"]
TAXED = ["--safety", "safety", "--helpful", "helpful", "--safety-model", "a", "--helpful-model", "b"]
TAXED += ["--prompts", "demo:harmful"]
Found = Callable[[Database], Any]


def guarded(db: Database, run_id: int) -> pl.DataFrame:
    """A guard's accuracies, as if each of its measures were as high."""
    scores = db.frame("SELECT * EXCLUDE (run_id) FROM guard_scores WHERE run_id = ? AND measure = 'accuracy'", [run_id])
    return scores.drop("measure").join(pl.DataFrame({"measure": list(MEASURES)}), how="cross").select(scores.columns)


def examined(db: Database) -> GuardTestResult:
    costs = db.frame("SELECT * EXCLUDE (run_id) FROM guard_costs WHERE run_id = 11 ORDER BY ALL")
    return GuardTestResult("safety", 11, "safety", guarded(db, 11), costs, [], [])


def compared(db: Database) -> Comparison:
    """A patch run with sets of several scorers, as `snql compare-scorers` reads it."""
    effects = db.frame("FROM scorer_effects WHERE pooled AND judge_position = 1 AND run = 'safety' ORDER BY scorer")
    return Comparison("safety", effects, tuple(sentences(effects)), [])


def drawn(db: Database) -> pl.DataFrame:
    """A ranking beside that of one shuffle of its adapter."""
    columns = ("k", "overlap", "chance", "chance_by_magnitude", "spearman_all")
    return overlaps.beside(db, "safety", ["drawn-safety"]).select(pl.col("run_b").alias("run"), *columns)


def taxed(db: Database) -> tax.TaxResult:
    """The patch run of that name, as if it were both of the tax's."""
    options: Any = SimpleNamespace(
        signs={"cost": "cost", "reward": "reward"}, compared_on={"cost": None, "reward": None}
    )
    found = patch._summary(db, "safety", 5)
    both = {("helpful", "safety"): found, ("safety", "helpful"): found}
    return tax._result(db, options, overlaps.compare(db, ["safety", "helpful"], "5%"), both)


JOBS: dict[str, tuple[list[str], Found]] = {
    "snql.contrast.locate.locate": (["locate", "x", *MODELS], lambda db: locate._summary(db, "safety")),
    "snql.patching.patch.patch": (["patch", "x", *PATCHED], lambda db: patch._summary(db, "safety", 5)),
    "snql.capability.divergence.divergence": (["divergence", "x"], lambda db: divergence._summary(db, "screen", 8)),
    "snql.capability.perplexity.perplexity": (
        ["perplexity", "x", "--model", "b", "--text", "demo:benign"],
        lambda db: perplexity._summary(db, "screen", 8),
    ),
    "snql.capability.lm_eval.lm_eval": (
        ["lm-eval", "x", "--model", "b", "--tasks", "t"],
        lambda db: lm_eval._summary(db, "screen", 8),
    ),
    "snql.guard.learn.train": (
        ["guard", "train", "x", *ANSWERING, "--neurons", "safety:5%"],
        lambda db: GuardResult("safety", 10, {}, guarded(db, 10), [], []),
    ),
    "snql.guard.testing.test": (
        ["guard", "test", "x", "--prompts", "demo:harmful"],
        lambda db: examined(db),
    ),
    "snql.guard.comparing.compare_guards": (
        ["guard", "compare", "x", *ANSWERING, "--neurons", "safety:5%"],
        lambda db: comparing._summary(db, "fair", 20),
    ),
    "snql.scorers.compare.compare_scorers": (
        [
            "compare-scorers",
            "x",
            *MODELS,
            "--evaluate-prompts",
            "demo:harmful",
            "--judge",
            "cost",
            "--scorers",
            "change-score,cohens-d",
        ],
        lambda db: compared(db),
    ),
    "snql.contrast.null.null": (
        ["null", "x", "--from", "safety"],
        lambda db: NullResult("x", "safety", drawn(db)),
    ),
    "snql.judges.stored.judge": (
        ["judge", "safety", "--judge", "cost"],
        lambda db: JudgeResult("safety", "patch", stored._scores(db, 5, ["cost"]), stored._effects(db, 5, ["cost"])),
    ),
    "snql.patching.tax.tax": (
        ["tax", "x", *TAXED, "--judge", "demo:cost", "--judge", "demo:reward"],
        lambda db: taxed(db),
    ),
    "snql.lens.lens.lens": (["lens", "L0.N3", "--model", "b"], lambda db: lens.read_lens(db, "values")),
}
"""Jobs by the function that they call, in place of which what the database has is read."""

Table = tuple[Sequence[Column], list[str], str, int]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "x.duckdb"
    with Database(path).write() as connection:
        fill(connection)
    return path


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[Table]:
    """What is printed as tables: the whole columns, those left out, and the text with its width."""
    found: list[Table] = []
    original = render.print_columns

    def printed(columns: Sequence[Column], title: str, console: Console | None = None) -> list[str]:
        width = render.terminal_width() or 0
        page = Console(width=width, file=io.StringIO())
        left_out = original(columns, title, page)
        assert isinstance(page.file, io.StringIO)
        found.append((columns, left_out, page.file.getvalue(), width))
        hidden: list[str] = original(columns, title, console)
        return hidden

    for module in (render, neuron_view):
        monkeypatch.setattr(module, "print_columns", printed)
    return found


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def check(columns: Sequence[Column], left_out: Sequence[str], text: str, width: int) -> None:
    assert max(map(len, text.splitlines())) <= width
    shown = [column for column in columns if column.heading not in left_out]
    assert {column.heading for column in columns} == {column.heading for column in shown} | set(left_out)
    rows = [line.split("│")[1:-1] for line in text.splitlines() if line.startswith("│")]
    if rows:
        for place, column in enumerate(shown):
            assert squeezed("".join(row[place] for row in rows)) == squeezed("".join(column.cells)), column.heading
    else:
        for column in shown:
            assert all(squeezed(f"{column.heading}:{cell}") in squeezed(text) for cell in column.cells)
    whole, told = (set(zip(*(column.cells for column in some), strict=True)) for some in (columns, shown))
    assert len(told) == len(whole), "rows that differ look alike"


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_or_hidden(
    snql: Snql, database: Path, tables: list[Table], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    commands = [(line, line.split()) for line in READING]
    for function, (words, found) in JOBS.items():
        module, _, name = function.rpartition(".")
        monkeypatch.setattr(import_module(module), name, lambda db, *_, found=found, **__: found(db))
        commands.append((" ".join(words), words))
    for line, words in commands:
        tables.clear()
        done = snql("--db", str(database), *words)
        assert done.code == 0, (line, done.err)
        boxes = [len(text) for text in done.out.splitlines() if text[:1] in tuple("┏┃┡│└")]
        assert max(boxes, default=0) <= width, line
        assert not line.startswith("neurons") or ("…" not in done.out and "L0.N" in done.out), line
        if line.startswith("show") and "Found" in done.out:
            assert max(map(len, done.out.partition("Found")[2].partition("Made with")[0].splitlines())) <= width, line
        for columns, left_out, text, at in tables:
            check(columns, left_out, text, at)
            named = [part for part in done.err.splitlines() if part.startswith("left out at this width: ")]
            assert all(any(heading in part for part in named) for heading in left_out), line
        assert tables or line.startswith(("neurons", "show", "db schema", "paper fig2")), line


def test_a_neuron_fits_two_screens(snql: Snql, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(neuron_view, "_MOST_LINES", 34)
    short, whole = (snql("--db", str(database), "neuron", "L0.N0", *words) for words in ((), ("--all",)))
    n_short, n_whole = (len((done.out + done.err).splitlines()) for done in (short, whole))
    assert n_short <= 37 < n_whole
    assert "--all has the rest" in short.err and "--all" not in whole.err
    for heading in ("Scores", "In run"):
        assert heading in short.out and heading in whole.out
    assert whole.out.count("Lowest before") == 1 and "Lowest before" not in short.out


def test_guards_compared_keep_what_they_are_compared_by(
    snql: Snql, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, found = JOBS["snql.guard.comparing.compare_guards"]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(comparing, "compare_guards", lambda db, *_, **__: found(db))
    rows = found(Database(database)).scores
    done = snql("--db", str(database), *words)
    n_tables = rows["dataset"].n_unique()
    tables = done.out[done.out.index("Guards on ") :]
    assert [tables.count(text) for text in ("Guards on ", " accuracy ", " AUROC ")] == [n_tables] * 3
    assert all(f"always saying what most are: {most:.3f}" in done.out for most in rows["majority"])
    listed = json.loads(snql("--db", str(database), "--format", "json", *words).out)
    assert [row["majority"] for row in listed["scores"]] == rows["majority"].to_list()


def test_without_a_donor_prompt_sets_are_not_pooled_in_the_table(
    snql: Snql, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = patch._summary(Database(database), "safety", 5)
    changes = found.effects.with_columns(pl.lit(None, pl.Float64).alias("gap"))
    effects = pl.concat([changes.with_columns(pl.lit(name).alias("dataset")) for name in ("*", "benign")])
    monkeypatch.setattr(patch, "patch", lambda *_, **__: replace(found, effects=effects, says=(), unseen=None))
    shown, listed = (snql(*words, "patch", "x", *PATCHED) for words in ((), ("--csv",)))
    assert "benign" in shown.out and "*" not in shown.out
    assert "*" in listed.out


@pytest.mark.parametrize("width", [14, 20, 22, 31, 60])
def test_top_tokens_of_a_row_take_two_lines(width: int) -> None:
    to = Console(width=200)
    tokens = [
        {"token": f" {'abcdefgh'[:n]}", "value": value} for n, value in ((5, -12.1), (3, 12.09), (6, -8.906), (2, 1))
    ]
    shown = neuron_view._top_tokens(tokens, to, width)
    assert len(shown.wrap(to, width)) <= 2
    assert (shown.plain.count("  ") == 3) == (width > 30), "as many as fit"
