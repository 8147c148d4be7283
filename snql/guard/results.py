"""From probabilities and labels to the rows that are stored, and to a plain sentence about them."""

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any, Protocol

import numpy as np
import polars as pl

from snql.db.judgements import POOLED
from snql.db.tables import flat
from snql.guard.measures import GUARD, Measured, Prompts, measure
from snql.guard.plan import ANYWHERE, LAST_LAYER, MAGNITUDE, MATCHED
from snql.prompts.types import Prompt
from snql.stats.bootstrap import RESAMPLES
from snql.stats.interval import CONFIDENCE

Row = dict[str, Any]
SURE = {"confidence": CONFIDENCE, "resamples": RESAMPLES}
WORDS = {
    MATCHED: "of the same layers",
    MAGNITUDE: "of the same layers and like size",
    LAST_LAYER: "of the last layer",
    ANYWHERE: "from anywhere",
}


class Compared(Protocol):
    """What is said of a classifier. members: as many as numbers it reads."""

    @property
    def classifier_id(self) -> int: ...
    @property
    def neurons(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def members(self) -> Sized: ...


def by_dataset(prompts: Sequence[Prompt]) -> dict[str, list[int]]:
    """Places of each data set's prompts, and of all of them under ``*`` if there are several."""
    found: dict[str, list[int]] = {}
    for place, prompt in enumerate(prompts):
        found.setdefault(prompt.dataset, []).append(place)
    return found if len(found) < 2 else found | {POOLED: list(range(len(prompts)))}


def measure_rows(
    prompts: Sequence[Prompt],
    labels: Sequence[Row],
    classifiers: Sequence[Compared],
    probabilities: Mapping[int, Mapping[int, float]],
    threshold: float,
    seed: int,
) -> list[Row]:
    """Rows of ``guard_measures``: every measure of every set of neurons and kind on every data set.

    labels: a row of ``guard_labels`` for each prompt; prompts without a label are left out. probabilities: by
    classifier_id and prompt_id.
    """
    known = [place for place, row in enumerate(labels) if row["label"] is not None]
    kept, rows = [prompts[place] for place in known], [labels[place] for place in known]
    found: list[Row] = []
    for dataset, places in by_dataset(kept).items():
        harmful, benign = (
            np.array([rows[place][name] for place in places], dtype=bool) for name in ("label", "benign")
        )
        counts = {"n_prompts": len(places), "n_harmful": int(harmful.sum()), "n_benign": int(benign.sum())}
        ids = [kept[place].prompt_id for place in places]
        for neurons, members in _by_neurons(classifiers):
            groups = {
                kind: [np.array([probabilities[each.classifier_id][number] for number in ids]) for each in of_kind]
                for kind, of_kind in members.items()
            }
            for kind, measured in measure(Prompts(harmful, benign), groups, threshold, seed).items():
                of_kind = members[kind]
                sizes = {"n_neurons": len(of_kind[0].members), "n_classifiers": len(of_kind)}
                group = {"neurons": neurons, "kind": kind, "dataset": dataset, "seed": seed} | sizes | counts | SURE
                found += [group | _measured(each) for each in measured if kind == GUARD or each.measure != "majority"]
    return found


def _measured(each: Measured) -> Row:
    found = {"measure": each.measure, "value": each.value, "difference": each.difference}
    return found | flat("", each.interval) | flat("difference_", each.difference_interval)


def _by_neurons(classifiers: Sequence[Compared]) -> Iterator[tuple[str, dict[str, list[Compared]]]]:
    """The classifiers of each set of neurons by kind, the guard's own first."""
    found: dict[str, dict[str, list[Compared]]] = {}
    for each in classifiers:
        found.setdefault(each.neurons, {}).setdefault(each.kind, []).append(each)
    yield from found.items()


def overview(scores: pl.DataFrame) -> pl.DataFrame:
    """The guard itself on each data set: a row with all measures, the interval of its accuracy, and matched controls.

    scores: rows of ``guard_scores`` of one run. Columns that no measure has are NULL: ``matched`` without controls.
    """
    main = scores.filter("is_main")
    own = main.filter(kind=GUARD)
    keys = ["dataset", "n_prompts", "n_harmful", "n_benign"]
    wide = own.pivot(on="measure", index=keys, values="value", maintain_order=True)
    accuracy = own.filter(measure="accuracy").select("dataset", "ci_low", "ci_high")
    matched = main.filter((pl.col("kind") == MATCHED) & (pl.col("measure") == "accuracy")).select(
        "dataset", "difference", "difference_ci_low", "difference_ci_high", matched="value"
    )
    for other in (accuracy, matched):
        wide = wide.join(other, on="dataset", how="left", maintain_order="left")
    return wide.sort(pl.col("dataset") == POOLED, maintain_order=True)


def _on_all_prompts(scores: pl.DataFrame) -> pl.DataFrame:
    """The rows about all data sets pooled, or those of the only one."""
    pooled = scores.filter(dataset=POOLED)
    return scores if pooled.is_empty() else pooled


def by_size(scores: pl.DataFrame) -> pl.DataFrame:
    """Accuracy of every set of neurons and kind of control on all prompts of a run, by number of neurons."""
    accuracy = _on_all_prompts(scores).filter(measure="accuracy")
    return accuracy.sort("n_neurons", "neurons", pl.col("kind") != GUARD, "kind", maintain_order=True)


def sentences(scores: pl.DataFrame, neurons: str) -> list[str]:
    """What the accuracy on all prompts says about these neurons: against random ones of each kind, and a constant.

    scores: rows of ``guard_scores`` of one run.
    """
    pooled = _on_all_prompts(scores).filter(neurons=neurons)
    accuracy = {row["kind"]: row for row in pooled.filter(measure="accuracy").iter_rows(named=True)}
    if GUARD not in accuracy:
        return []
    own = accuracy[GUARD]
    (majority,) = pooled.filter(measure="majority").iter_rows(named=True)
    found = [_against_constant(own, majority)]
    found += [_against_random(own, accuracy[kind]) for kind in WORDS if kind in accuracy]
    if len(accuracy) == 1:
        found.append("No random neurons were tried, so nothing shows what any neurons would do.")
    return found


def compared_sentences(scores: pl.DataFrame) -> list[str]:
    """What a comparison says on all prompts: the chosen neurons, and what each other reader has over or below them.

    scores: rows of ``guard_comparison`` of one run.
    """
    found = []
    for row in _on_all_prompts(scores).sort("place").iter_rows(named=True):
        numbers = f"accuracy {row['accuracy']:.3f} [{_ends(row, 'accuracy_')}]"
        if row["kind"] == GUARD:
            found.append(
                f"{row['label']}: {numbers} on {row['n_prompts']} prompts of families held out of the fit; always "
                f"saying what most are: {row['majority']:.3f}."
            )
        elif row["difference_ci_low"] is not None:
            over = f"the chosen neurons' less this {row['difference']:+.3f} [{_ends(row, 'difference_')}]"
            sure = row["difference_ci_low"] > 0 or row["difference_ci_high"] < 0
            found.append(f"{row['label']}: {numbers}; {over}{'' if sure else ', which covers 0'}.")
    return found


def _against_constant(own: Row, majority: Row) -> str:
    if own["ci_low"] is None:
        return f"The guard is right on {own['value']:.3f} of {own['n_prompts']} prompts: too few for an interval."
    better = own["ci_low"] > majority["value"]
    return (
        f"The guard is right on {own['value']:.3f} of {own['n_prompts']} prompts (95% interval {_ends(own, '')}); "
        f"{'' if better else 'that is not shown to be better than '}always saying what most are"
        f"{' is right on' if better else ':'} {majority['value']:.3f}."
    )


def _against_random(own: Row, control: Row) -> str:
    """Whether the guard's neurons are better than random ones, as far as the paired interval can tell."""
    number, where = control["n_classifiers"], WORDS[control["kind"]]
    what = f"{number} random set{'' if number == 1 else 's'} {where}"
    numbers = f"accuracy {own['value']:.3f} against {control['value']:.3f} on average over {what}"
    if control["difference_ci_low"] is None:
        return f"Random neurons {where}: {numbers}; too few prompts for an interval."
    numbers += f" (difference {control['difference']:+.3f}, 95% interval {_ends(control, 'difference_')})"
    if control["difference_ci_low"] > 0:
        return f"The chosen neurons do better than random ones {where}: {numbers}."
    if control["difference_ci_high"] < 0:
        return f"Random neurons {where} do better than the chosen ones: {numbers}."
    return f"Random neurons {where} do as well, as far as these prompts can tell: {numbers}."


def _ends(row: Row, name: str) -> str:
    return f"{row[f'{name}ci_low']:.3f} to {row[f'{name}ci_high']:.3f}"
