"""The findings in words: sentences filled with numbers from the views, each with its caveats."""

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from snql.reporting.context import Context, locate_words
from snql.writing.words import count, decimal, interval, listing

FEW_PROMPTS = 30
MAX_FINDINGS = 24
Row = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """One statement and what a reader must know before believing it. run: the patch run that it is about, if one."""

    text: str
    caveats: tuple[str, ...] = ()
    run: str = ""


def findings(effects: pl.DataFrame, runs: pl.DataFrame) -> tuple[Finding, ...]:
    """What the main set of each patch run does, by every judge, over all prompts; then what was located."""
    main = effects.filter(pl.col("headline") & pl.col("pooled"))
    main = main.sort("run", "series", "judge_position", "judge")
    settings = _settings(runs)
    patched = [_effect(row, settings.get(row["run"], {})) for row in main.head(MAX_FINDINGS).iter_rows(named=True)]
    if main.height > MAX_FINDINGS:
        patched.append(Finding(f"{count(main.height - MAX_FINDINGS, 'more result')}: see the table of effects."))
    return (*patched, *_without_donor(runs), *_located(runs))


def _settings(runs: pl.DataFrame) -> dict[str, Row]:
    """The configuration of each patch run, by its name."""
    rows = runs.filter(pl.col("kind") == "patch").iter_rows(named=True)
    return {row["run"]: json.loads(row["config"]) for row in rows}


def _effect(row: Row, settings: Row) -> Finding:
    frozen = bool(settings.get("freeze"))
    start, other = ("donor", "recipient") if frozen else ("recipient", "donor")
    text = (
        f"{_action(row, settings)} takes the mean score by {row['judge']} from {decimal(row[f'mean_{start}'])} to "
        f"{decimal(row['mean_patched'])}; the {other} itself scores {decimal(row[f'mean_{other}'])} "
        f"({count(row['n_prompts'], 'prompt')}). "
    )
    if row["effect"] is None:
        return Finding(text + "Its causal effect is undefined.", (_undefined(row), *_sample(row)), row["run"])
    reading = " (frozen, a set that carries everything has 0, one that carries nothing 1)" if frozen else ""
    text += f"Its causal effect is {decimal(row['effect'])}{_interval_of(row)}{reading}; {_controls(row)}."
    return Finding(text, (*(_frozen_doubts(row) if frozen else _doubts(row)), *_sample(row)), row["run"])


def _action(row: Row, settings: Row) -> str:
    """What was done to which neurons."""
    share = f", {100 * row['fraction']:.3g} % of all" if row["fraction"] is not None else ""
    size = f" ({count(row['n_neurons'], 'neuron')}{share})" if row["n_neurons"] is not None else ""
    recipient, donor = row["recipient"] or "the recipient", row["donor"] or "the donor"
    mode, chosen = settings.get("mode", "donor"), f"the set {row['variant']}{size}"
    if settings.get("freeze"):
        words = f"Freezing {chosen} of {donor} at the activations of {recipient}"
    elif mode == "donor":
        words = f"Patching {chosen} of {recipient} with the activations of {donor}"
    else:
        words = f"Changing {chosen} of {recipient} in mode {mode}"
    steps = {"prompt": " at the positions of the prompt", "completion": " at those of the completion"}
    first = settings.get("first")
    tokens = "token is" if first == 1 else f"{first} tokens are"
    until = f", while the first {tokens} written," if first else ""
    return words + steps.get(settings.get("steps", "all"), "") + until


def _interval_of(row: Row) -> str:
    words = interval(row["ci_low"], row["ci_high"])
    return f" ({100 * row['confidence']:g} % interval {words})" if words else ""


def _controls(row: Row) -> str:
    if not row["n_controls_defined"]:
        return "no random set was measured beside it"
    sets = count(row["n_controls_defined"], "random set")
    return (
        f"{sets} of the same size: mean {decimal(row['control_mean'])}, from {decimal(row['control_min'])} "
        f"to {decimal(row['control_max'])}"
    )


def _undefined(row: Row) -> str:
    return (
        f"By this judge donor and recipient do not differ reliably: the difference is {decimal(row['gap'])} with "
        f"the interval {interval(row['gap_ci_low'], row['gap_ci_high'])}, which covers 0, so no share of it can "
        "be stated."
    )


def _doubts(row: Row) -> list[str]:
    doubts = []
    if row["ci_low"] is not None and row["ci_high"] is not None and row["ci_low"] <= 0 <= row["ci_high"]:
        doubts.append("The interval of the effect covers 0: the data do not show that this set does anything.")
    if row["effect"] < 0:
        doubts.append("The effect is negative: patching moves the score away from the donor's.")
    if row["n_controls_reaching"]:
        reach = row["n_controls_reaching"]
        doubts.append(
            f"{reach} of {row['n_controls_defined']} random sets {'has' if reach == 1 else 'have'} at least as "
            "large an effect: being ranked high is not shown to matter."
        )
    if not row["n_controls_defined"]:
        doubts.append("Without random sets, nothing shows what any set of this size would do.")
    return doubts


def _frozen_doubts(row: Row) -> list[str]:
    doubts = []
    if row["ci_low"] is not None and row["ci_high"] is not None and row["ci_low"] <= 1 <= row["ci_high"]:
        doubts.append("The interval of the effect covers 1: the data do not show that this set does anything.")
    if not row["n_controls_defined"]:
        doubts.append("Without random sets, nothing shows what any set of this size would do.")
    return doubts


def _sample(row: Row) -> list[str]:
    if row["n_prompts"] >= FEW_PROMPTS:
        return []
    return [f"{count(row['n_prompts'], 'prompt')} {'is' if row['n_prompts'] == 1 else 'are'} few for an interval."]


def _without_donor(runs: pl.DataFrame) -> list[Finding]:
    names = runs.filter((pl.col("kind") == "patch") & pl.col("model_b").is_null()).sort("run")["run"].to_list()
    if not names:
        return []
    words = "Without a donor there is no effect to state, only changes of scores (view causal_effects): "
    return [Finding(words + listing(names) + ".")]


def _located(runs: pl.DataFrame) -> list[Finding]:
    located = runs.filter(pl.col("kind") == "locate").sort("run")
    if located.is_empty():
        return []
    words = locate_words(Context(runs), located["run"].to_list())
    return [Finding(f"Neurons were located in {count(located.height, 'run')}. {words}")]
