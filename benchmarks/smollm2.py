"""The data of the scale `smollm2-135m`, from the published prompt sets: what is learnt, and what is held out.

    python benchmarks/smollm2.py PROMPT_SETS OUT

PROMPT_SETS holds hh-rlhf-harmless-base-test.jsonl.gz (Anthropic's HH-RLHF, split test of harmless-base), AdvBench's
advbench_harmful_behaviors.csv and HarmBench's harmbench_behaviors_text_all.csv, as published. OUT gets JSONL files of
prompts, dialogues and preferences. No prompt is in two of them, but for those of one text in the sets themselves.

Benign prompts are first questions of HH-RLHF dialogues. Most of this split is red-teaming, so they were chosen by
reading: questions that a polite assistant answers and nobody could mind, by their line in the file.
"""

import argparse
import gzip
import json
import random
import re
from collections.abc import Iterable
from csv import DictReader
from pathlib import Path
from typing import Any

from snql.judges.refusal import refuses

SEED = 0
BENIGN = (
    *(9, 15, 17, 35, 37, 93, 115, 130, 131, 193, 195, 217, 264, 289, 296, 306, 315, 381, 382, 422, 428, 452, 453, 494),
    *(505, 545, 548, 555, 570, 574, 578, 597, 598, 634, 659, 724, 739, 763, 778, 800, 850, 855, 890, 896, 931, 936),
    *(941, 954, 998, 1001, 1014, 1022, 1026, 1047, 1049, 1057, 1064, 1066, 1127, 1157, 1211, 1260, 1364, 1401, 1427),
    *(1444, 1449, 1457, 1462, 1508, 1510, 1544, 1558, 1568, 1571, 1616, 1621, 1640, 1647, 1655, 1663, 1718, 1748),
    *(1785, 1810, 1863, 1866, 1873, 1879, 1892, 1893, 1905, 1912, 1920, 1927, 1953, 1955, 1961, 1970, 1978, 2008),
    *(2022, 2033, 2043, 2082, 2096, 2099, 2120, 2147, 2170, 2172, 2192, 2197, 2222, 2232, 2254, 2257, 2294, 2308),
)
"""Lines, from 0, whose first question is benign."""

Row = dict[str, Any]
_TURN = re.compile(r"\n\n(?:Human|Assistant): ?")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt_sets", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    files = {**_dialogues(given.prompt_sets), **_behaviours(given.prompt_sets)}
    for name, rows in files.items():
        (given.out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        print(f"{name}: {len(rows)}")


def _dialogues(folder: Path) -> dict[str, list[Row]]:
    with gzip.open(folder / "hh-rlhf-harmless-base-test.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    benign = [_first(rows[line]) for line in BENIGN]
    random.Random(SEED).shuffle(benign)  # noqa: S311
    learnt, tried, held = benign[:60], benign[60:80], benign[80:]
    others = [row for line, row in enumerate(rows) if line not in BENIGN and _is_short(row)]
    return {
        "sft": [row for row in learnt if not refuses(row["response"])],
        "benign-train": _prompts(learnt),
        "benign-dev": _prompts(tried),
        "benign-test": _prompts(held),
        "hh-pairs": others[::2][:40],
        "hh-locate": _prompts(map(_first, others[1::2])),
    }


def _behaviours(folder: Path) -> dict[str, list[Row]]:
    """AdvBench and HarmBench: every other behaviour is learnt from; of AdvBench, a tenth chooses settings."""
    goals = [{"prompt": row["goal"]} for row in _csv(folder / "advbench_harmful_behaviors.csv")]
    behaviours = _csv(folder / "harmbench_behaviors_text_all.csv")
    standard = [{"prompt": row["Behavior"]} for row in behaviours if row["FunctionalCategory"] == "standard"]
    contextual = [
        {"prompt": f"{row['ContextString']}\n\n---\n\n{row['Behavior']}"}
        for row in behaviours
        if row["FunctionalCategory"] == "contextual" and len(row["ContextString"]) < 1_500
    ]
    return {
        "advbench-train": goals[::2],
        "advbench-dev": goals[1::10],
        "advbench-test": [goal for number, goal in enumerate(goals) if number % 2 and number % 10 != 1],
        "harmbench-train": standard[::2],
        "harmbench-test": standard[1::2],
        "harmbench-contextual-test": contextual,
    }


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(DictReader(file))


def _first(row: Row) -> Row:
    """The first question of a dialogue and its answer."""
    _, question, answer, *_ = _TURN.split(row["chosen"])
    return {"prompt": question.strip(), "response": answer.strip()}


def _prompts(rows: Iterable[Row]) -> list[Row]:
    return [{"prompt": row["prompt"]} for row in rows]


def _is_short(row: Row) -> bool:
    """One question, and answers that two cores can read."""
    return len(_TURN.split(row["chosen"])) == 3 and max(len(row["chosen"]), len(row["rejected"])) < 500


if __name__ == "__main__":
    main()
