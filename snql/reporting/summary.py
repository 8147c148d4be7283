"""What was found: one sentence, and a table with a row for each set, judge and data set."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from snql.writing.words import count, listing

FEW_PROMPTS = 30
MAX_FINDINGS = 60
"""Rows of the table; the table of effects has all."""
ENOUGH = 0.9
EFFECTS_QUERY = "SELECT * FROM figure_effects ORDER BY run, series, judge_position, judge, dataset, n_neurons, variant"
_SAME = ("recipient", "donor", "variant", "judge", "dataset", "n_prompts", "mean_recipient", "mean_patched")
"""What rows agree in that are one measurement, made again by another run."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """The main result in a sentence, and the row of ``figure_effects`` that it is about, if it is of a patch run."""

    sentence: str
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """What one set of one run does. head: what was patched; rows: of ``figure_effects``, each with its ``notes``."""

    run: str
    head: str
    rows: tuple[Row, ...]


def answer(effects: pl.DataFrame, runs: pl.DataFrame) -> Answer | None:
    """Of the run with most sets, the smallest one that carries 90%, or else the one that carries most; None if none.

    By the run's first judge with an effect, over all prompts of the run. Runs that freeze the set instead have no part
    in it. effects: rows of ``figure_effects``; runs: of ``figure_runs``.
    """
    frozen = [run for run, settings in _settings(runs).items() if settings.get("freeze")]
    found = effects.filter(pl.col("effect").is_not_null() & pl.col("pooled") & ~pl.col("run").is_in(frozen))
    if found.is_empty():
        return None
    sets = found.group_by("run").agg(n=pl.col("variant").n_unique()).sort("n", "run", descending=[True, False])
    found = found.filter(run=sets["run"][0]).sort("judge_position", "judge")
    found = found.filter(judge=found["judge"][0])
    enough = found.filter(pl.col("effect") >= ENOUGH).sort("n_neurons")
    row = (enough if len(enough) else found.sort("effect", descending=True)).row(0, named=True)
    return Answer(_sentence(row), row)


def _sentence(row: Row) -> str:
    share = "" if row["fraction"] is None else f", {percent(row['fraction'])} of all"
    size = "" if row["n_neurons"] is None else f" ({count(row['n_neurons'], 'neuron')}{share})"
    ends = "" if row["ci_low"] is None else f" [{percent(row['ci_low'])}, {percent(row['ci_high'])}]"
    prompts = count(row["n_prompts"], "prompt") + ("" if row["dataset"] == "*" else f" of {row['dataset']}")
    words = (
        f"{row['variant']}{size} carries {percent(row['effect'])}{ends} of the difference between "
        f"{row['recipient']} and {row['donor'] or 'its donor'} by {row['judge']}, on {prompts}; "
    )
    if not row["n_controls_defined"]:
        return words + "no random set was measured beside it."
    sets = count(row["n_controls_defined"], "random set")
    less = ", which is no less" if row["n_controls_reaching"] else ""
    verb = "carries" if row["n_controls_defined"] == 1 else "carry"
    return f"{words}{sets} of the same size {verb} at most {percent(row['control_max'])}{less}."


def percent(share: float) -> str:
    """A share as whole percent, below 10 with a digit more, with a real minus sign; what rounds to 0 is 0."""
    value = 100 * share
    shown = f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}" if abs(value) >= 0.95 else f"{value:.1g}"
    return f"{0 if abs(value) < 0.05 else shown}%".replace("-", "\u2212")


def groups(effects: pl.DataFrame, runs: pl.DataFrame, first: str = "") -> tuple[tuple[Group, ...], int]:
    """What the main set of each patch run does on each of its data sets, by every judge; the run ``first`` first.

    A measurement that several runs made is there once. Prompt sets are not pooled: a run that asks about one of them
    is not answered by all. With them comes how many rows there are more.
    """
    single = ((pl.col("dataset") != "*") | (pl.col("dataset").n_unique().over("run") == 1)) & pl.col("headline")
    ahead = (pl.col("run") != first).alias("ahead")
    rows = effects.filter(single).sort(ahead, "run", "series", "judge_position", "judge", "dataset")
    # Batches of other sizes add in another order: scores of one measurement agree in the first figures.
    figures = [pl.col(name).round_sig_figs(5) if name.startswith("mean_") else pl.col(name) for name in _SAME]
    rows = rows.filter(pl.struct(figures).is_first_distinct())
    settings = _settings(runs)
    made = []
    for (run, _), part in rows.head(MAX_FINDINGS).group_by("run", "variant", maintain_order=True):
        own = settings.get(str(run), {})
        found = tuple({**row, "notes": _notes(row, own)} for row in part.iter_rows(named=True))
        made.append(Group(str(run), _action(found[0], own), found))
    return tuple(made), max(0, rows.height - MAX_FINDINGS)


def without_donor(runs: pl.DataFrame) -> str:
    """Which patch runs have no effect to state, as a sentence; empty if none."""
    names = runs.filter((pl.col("kind") == "patch") & pl.col("model_b").is_null()).sort("run")["run"].to_list()
    words = "Without a donor there is no effect to state, only changes of scores (view causal_effects)"
    return f"{words}: {listing(names)}." if names else ""


def _settings(runs: pl.DataFrame) -> dict[str, Row]:
    """The configuration of each patch run, by its name."""
    rows = runs.filter(pl.col("kind") == "patch").iter_rows(named=True)
    return {row["run"]: json.loads(row["config"]) for row in rows}


def _action(row: Row, settings: Row) -> str:
    """What was done to which neurons."""
    share = f", {percent(row['fraction'])} of all" if row["fraction"] is not None else ""
    size = f" ({count(row['n_neurons'], 'neuron')}{share})" if row["n_neurons"] is not None else ""
    recipient, donor = row["recipient"] or "the recipient", row["donor"] or "the donor"
    chosen, mode = f"{row['variant']}{size}", settings.get("mode", "donor")
    if settings.get("freeze"):
        words = f"{chosen} of {donor} frozen at the activations of {recipient}: 0 carries everything, 1 nothing"
    elif mode == "donor":
        words = f"{chosen} of {donor} into {recipient}"
    else:
        words = f"{chosen} of {recipient}, mode {mode}"
    steps = {"prompt": ", at the positions of the prompt", "completion": ", at those of the completion"}
    first = settings.get("first")
    tokens = "token is" if first == 1 else f"{first} tokens are"
    until = f", while the first {tokens} written" if first else ""
    return words + steps.get(settings.get("steps", "all"), "") + until


def _notes(row: Row, settings: Row) -> tuple[str, ...]:
    """What a reader must know before believing the row."""
    return tuple(note for note in (*_doubts(row, frozen=bool(settings.get("freeze"))), _few(row["n_prompts"])) if note)


def _doubts(row: Row, *, frozen: bool) -> Sequence[str]:
    if row["effect"] is None:
        return ("no effect can be stated: donor and recipient do not differ reliably by this judge",)
    nothing = 1.0 if frozen else 0.0
    low, high, reach = row["ci_low"], row["ci_high"], 0 if frozen else row["n_controls_reaching"]
    return (
        "not different from nothing" if low is not None and high is not None and low <= nothing <= high else "",
        "away from the donor" if row["effect"] < 0 else "",
        f"{reach} of {count(row['n_controls_defined'], 'random set')} at least as large" if reach else "",
        "" if row["n_controls_defined"] else "no random sets beside it",
    )


def _few(n_prompts: int) -> str:
    return f"{count(n_prompts, 'prompt')}: few for an interval" if n_prompts < FEW_PROMPTS else ""
