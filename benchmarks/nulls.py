"""Which rules of docs/paper.md a contentless adapter passes: the recipes with rankings of shuffled adapters.

For each draw, every `snql locate` step of the demo scale contrasts the model before with a shuffle of the adapters that
the model after has beyond it (`snql null`), and everything else is the same: the sets of these rankings are patched
from the real donors, read by guards and compared. A row of a claim that its rule calls "agrees" has been passed. What
nulls pass in more than one of ten rows is no test: the counts belong into the recipes, as `nulls = [passed, drawn]`.
Fewer sizes and prompts than the demo's, and no random sets; recipes whose rankings a command makes itself
(compare-scorers) keep the real ones, and rules on random sets have no rows.
"""

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from measured import arguments
from snql.cli.app import run

from snql.db import Database
from snql.models import files
from snql.models.adapter_config import read_config
from snql.models.adapters import Adapter
from snql.models.identity import combined_hash
from snql.models.permuted import write_permuted
from snql.models.spec import parse_model_spec
from snql.paper.files import Recipe, Scale, recipes, scale
from snql.paper.plan import Step, plan
from snql.paper.results import HOLDS, UNDEFINED, outcomes

SMALLER = {"sizes": "5%,20%", "locating_sizes": "1%,5%", "window": "5%:25%", "guard_sizes": "102"}
SKIPPED = {"scorers", "safeneuron"}
LIMITS = {"locate": 100, "patch": 50, "tax": 50}


def shuffled(before: str, after: str, folder: Path, seed: int) -> str:
    """The spec of the model before with shuffles of what the one after has beyond it."""
    own = parse_model_spec(after).adapters[len(parse_model_spec(before).adapters) :]
    for number, part in enumerate(own):
        given = files.adapter_files(part)
        adapter = Adapter(given, read_config(given.place), combined_hash(given.hashes))
        write_permuted(adapter, folder / str(number), seed)
    return "+".join([before, *(str(folder / str(number)) for number in range(len(own)))])


def steps(wanted: tuple[Recipe, ...], size: Scale, folder: Path, seed: int) -> Iterator[Step]:
    """The steps of the recipes with nulls in place of the models that are located."""
    specs: dict[tuple[str, str], str] = {}
    for step in plan(wanted, size).steps:
        options = dict(step.options)
        if step.command == "locate":
            pair = options["before"], options["after"]
            if pair not in specs:
                specs[pair] = shuffled(*pair, folder / str(len(specs)), seed)
            options["after"] = specs[pair]
        if "random" in options and not step.command.startswith("guard"):
            options["random"] = 1
        if step.command in LIMITS:
            options["limit"] = LIMITS[step.command]
        yield replace(step, options=options)


def passed(wanted: tuple[Recipe, ...], size: Scale, seed: int) -> dict[str, list[bool]]:
    """For each claim with a rule whether each of its rows passes it."""
    found: dict[str, list[bool]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for step in steps(wanted, size, folder, seed):
            told = io.StringIO()
            with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
                code = run(["--db", str(folder / "nulls.duckdb"), "--quiet", *step.arguments])
            if code:
                raise SystemExit(f"{step.line}\n{told.getvalue()}")
        with Database(folder / "nulls.duckdb") as db:
            runs = plan(wanted, size).runs
            for recipe in wanted:
                bare = replace(recipe, claims=tuple(replace(claim, nulls=None) for claim in recipe.claims))
                for row in outcomes(db, bare, runs[recipe.name]):
                    if row.claim.rule is not None and (row.low is not None or row.verdict == UNDEFINED):
                        place = bare.claims.index(row.claim) + 1
                        found.setdefault(f"{recipe.name} {place}", []).append(row.verdict == HOLDS)
    return found


def main() -> None:
    asked = arguments(__doc__)
    draws = 2 if asked.quick else 10
    wanted = tuple(
        each for each in recipes() if each.name not in SKIPPED and any(claim.rule is not None for claim in each.claims)
    )
    demo = scale("demo")
    size = replace(demo, variables={**demo.variables, **SMALLER})
    every: dict[str, list[bool]] = {}
    for seed in range(1, draws + 1):
        for claim, rows in passed(wanted, size, seed).items():
            every.setdefault(claim, []).extend(rows)
        print(
            f"draw {seed}: " + json.dumps({claim: [sum(rows), len(rows)] for claim, rows in every.items()}), flush=True
        )
    for claim, rows in every.items():
        print(f"{claim}: nulls = [{sum(rows)}, {len(rows)}]")
    if asked.json is not None:
        asked.json.write_text(json.dumps({claim: [sum(rows), len(rows)] for claim, rows in every.items()}, indent=1))


if __name__ == "__main__":
    main()
