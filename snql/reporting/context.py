"""What captions say about the runs behind a figure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from snql.writing.words import count, listing


@dataclass(frozen=True)
class Context:
    """The finished runs, one row each (view ``figure_runs``), and whether they are from several databases."""

    runs: pl.DataFrame
    several: bool = False

    def of(self, kind: str, names: Sequence[str]) -> pl.DataFrame:
        """Rows of the runs of one kind with these names, in the order of the names."""
        order = pl.DataFrame({"run": list(names)}, schema={"run": pl.String})
        return order.join(self.runs.filter(pl.col("kind") == kind), on="run", how="inner", maintain_order="left")


def locate_words(context: Context, names: Sequence[str]) -> str:
    """Models, prompts, tokens and seed of locate runs; what several have in common is said once."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in context.of("locate", names).iter_rows(named=True):
        settings = (
            f"{read_words(row)}{_positions(row['positions'])}{_writer(row)}, seed {_seed(row['seed'])}, "
            f"{row['n_ranked']:,} of {row['n_all']:,} neurons ranked"
        )
        models = groups.setdefault((row["model_a"] or "unknown", settings), [])
        models.append((row["run"], row["model_b"] or "unknown"))
    return " ".join(
        f"{_runs([run for run, _ in models])}: {before} before and {_after(models)} after, {settings}."
        for (before, settings), models in groups.items()
    )


def _after(models: Sequence[tuple[str, str]]) -> str:
    """The model after: one name, or each with its run where they differ."""
    names = list(dict.fromkeys(name for _, name in models))
    return names[0] if len(names) == 1 else listing([f"{name} ({run})" for run, name in models])


def patch_words(context: Context, names: Sequence[str]) -> str:
    """Models and seed of patch runs, as a sentence each; equal ones are said once."""
    groups: dict[str, list[str]] = {}
    for row in context.of("patch", names).iter_rows(named=True):
        words = (
            f"recipient {row['model_a'] or 'unknown'}, {_donor(row)}, "
            f"{count(row['n_prompts'], 'prompt')}, seed {_seed(row['seed'])}"
        )
        groups.setdefault(words, []).append(row["run"])
    return " ".join(f"{_runs(runs)}: {words}." for words, runs in groups.items())


def guard_words(frame: pl.DataFrame) -> str:
    """Models, judges and training prompts of guards, as a sentence each; equal ones are said once."""
    groups: dict[str, list[str]] = {}
    settings = frame.select("run", "neurons", "model", "judge", "trained_on").unique(maintain_order=True)
    for run, neurons, model, judge, trained_on in settings.iter_rows():
        words = f"{neurons} of {model or 'unknown'}, trained on {trained_on or 'unknown prompts'}, judge {judge}"
        groups.setdefault(words, []).append(run)
    return " ".join(f"{_runs(runs)}: {words}." for words, runs in groups.items())


def _donor(row: Mapping[str, Any]) -> str:
    """The donor, and what chosen neurons become where that is not its activation on the same text."""
    config = json.loads(row["config"])
    words = f"donor {row['model_b']}" if row["model_b"] else "no donor"
    if config.get("mode", "donor") != "donor":
        words += f", mode {config['mode']}"
    return f"{words}, whose neurons are frozen at the recipient's" if config.get("freeze") else words


def interval_words(frame: pl.DataFrame, over: str = "prompts") -> str:
    """Confidence of the intervals of a frame of effects; resamples and seed of those of earlier versions."""
    levels = listing([f"{100 * level:g} %" for level in frame["confidence"].unique().sort().to_list()])
    drawn = frame.filter(pl.col("resamples") > 0)
    if drawn.is_empty():
        return f"{levels} intervals over {over} (Fieller's)"
    resamples = listing([f"{number:,}" for number in drawn["resamples"].unique().sort().to_list()])
    seeds = listing([str(seed) for seed in drawn["seed"].unique().sort().to_list()])
    return f"{levels} bootstrap intervals over {over} ({resamples} resamples, seed {seeds})"


def judge_words(frame: pl.DataFrame) -> str:
    """The judges of a frame of effects; where they differ between runs, which run has which."""
    pairs = frame.select("run", "judge").unique().sort("run", "judge").rows()
    judges = sorted({judge for _, judge in pairs})
    if len(judges) == 1:
        return f"Judge {judges[0]}."
    return f"Judges: {listing([f'{judge} ({run})' for run, judge in pairs])}."


def read_words(row: Mapping[str, Any]) -> str:
    """How much a locate run read; of scores that were imported nobody knows."""
    if row["n_tokens"] is None:
        file = f" from {row['imported']}" if row["imported"] else ""
        return f"imported{file}: scores of another program, prompts and tokens unknown"
    return f"{count(row['n_prompts'], 'prompt')}, {count(row['n_tokens'], 'token')}"


def _positions(positions: str | None) -> str:
    return f" ({positions} positions)" if positions else ""


def _writer(row: Mapping[str, Any]) -> str:
    """Whose text both models read, where it is not that of the model before."""
    settings = json.loads(row["config"])
    by = settings.get("completions_by", "before")
    if settings.get("completions"):
        return f", text of {settings['completions']}"
    return "" if by == "before" else f", {by} writes"


def _seed(seed: int | None) -> str:
    return "none" if seed is None else str(seed)


def _runs(names: Sequence[str]) -> str:
    return f"{'Run' if len(names) == 1 else 'Runs'} {listing(names)}"
