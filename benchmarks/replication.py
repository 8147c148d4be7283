"""What patching does in the bundled models, for every shipped safety seed, beside a trivial ranking.

Prints the table of docs/organism.md ("Patching results"). The trivial ranking takes the neurons with the largest
root mean square activation of the unaligned model: it knows nothing of the aligned one. ``--quick`` uses 20 prompts
and one size; ``--json FILE`` writes a list of {name, value, target, met}.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.demonstration.headlines import with_controls
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.prompts.options import PromptOptions

SEEDS = ("safety", "safety-seed2", "safety-seed3")
SETS = ("demo:harmful", "demo:harmful-rephrased", "demo:harmful-new-families", "demo:harmful-wrapped")
BY_SIZE = (
    "sql(SELECT layer, neuron FROM neuron_scores WHERE run = '{run}' "
    "ORDER BY mean_before * mean_before + std_before * std_before DESC LIMIT {k})"
)


@dataclass(frozen=True)
class Bundle:
    """Where the models are: in the bundle that snql ships, or in a folder that the factory made."""

    folder: Path | None = None

    def model(self, name: str) -> str:
        if self.folder is None:
            return f"demo:{name}"
        own = () if name == "sft" else (f"{self.folder}/adapters/{name}",)
        return "+".join([f"{self.folder}/base", f"{self.folder}/adapters/sft", *own])

    def prompts(self, name: str) -> str:
        return name if self.folder is None else f"{self.folder}/prompts/{name.removeprefix('demo:')}.jsonl"

    def judge(self) -> str:
        return "demo:cost" if self.folder is None else f"score-model:{self.folder}/judges/cost"


def measure(db: Database, seed: str, percentages: Sequence[int], limit: int | None, bundle: Bundle) -> pl.DataFrame:
    """Effects of one adapter's top neurons, and of the trivial ranking's, with five matched controls each."""
    before, after = bundle.model("sft"), bundle.model(seed)
    source = PromptOptions((bundle.prompts("demo:locate"),), limit=limit)
    options = LocateOptions(
        before=before,
        after=after,
        prompts=source,
        writing=WritingOptions(max_new_tokens=48, batch_size=256),
        keep="none",
    )
    n_ranked = locate(db, seed, options).n_ranked
    sizes = [round(n_ranked * percentage / 100) for percentage in percentages]
    expressions = [f"{seed}:{k}" for k in sizes] + [BY_SIZE.format(run=seed, k=k) for k in sizes]
    patched = PatchOptions(
        recipient=before,
        donor=after,
        neurons=tuple(expressions),
        prompts=PromptOptions(tuple(map(bundle.prompts, SETS)), limit=limit),
        judging=JudgingOptions((bundle.judge(),)),
        random=5,
        writing=WritingOptions(max_new_tokens=48, batch_size=256),
    )
    effects = with_controls(patch(db, seed, patched).effects)
    files = {name: Path(bundle.prompts(name)) for name in SETS if bundle.folder}
    names = {shown: name for name, path in files.items() for shown in (str(path), path.name, path.stem)}
    effects = effects.with_columns(pl.col("dataset").replace(names))
    ranking = pl.when(pl.col("variant").str.starts_with("sql")).then(pl.lit("activation size"))
    return effects.with_columns(ranking.otherwise(pl.lit("change score")).alias("ranking"), pl.lit(seed).alias("seed"))


EFFECT = ("effect", "ci_low", "ci_high")


def table(effects: pl.DataFrame) -> str:
    """A Markdown table: one row per seed, ranking and size; one column per prompt set."""
    lines = [
        "| adapter | ranking | neurons | "
        + " | ".join(f"`{name}`" for name in SETS)
        + " | all, in log-odds | random, most |",
        "|---|---|---:|" + "---:|" * (len(SETS) + 2),
    ]
    for (seed, ranking, k), rows in effects.group_by(["seed", "ranking", "n_neurons"], maintain_order=True):
        cells = {row["dataset"]: _cell(row, graded=row["dataset"] == "*") for row in rows.to_dicts()}
        most = rows["control_max"].max()
        wanted = [cells[name] for name in (*SETS, "*")]
        lines.append(f"| `{seed}` | {ranking} | {k} | " + " | ".join(wanted) + f" | {most:.3f} |")
    return "\n".join(lines)


def _cell(row: dict[str, float], *, graded: bool) -> str:
    value, low, high = (row[name] for name in (("graded", "graded_ci_low", "graded_ci_high") if graded else EFFECT))
    return "undefined" if value is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Measure, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bundle", type=Path, help="a folder of `python -m snql.organism.factory --out`")
    arguments = parser.parse_args()
    bundle = Bundle(arguments.bundle)
    seeds, percentages, limit = (SEEDS[:1], (5,), 20) if arguments.quick else (SEEDS, (5, 10, 20), None)
    with tempfile.TemporaryDirectory() as folder, Database(Path(folder) / "x.duckdb") as db:
        effects = pl.concat([measure(db, seed, percentages, limit, bundle) for seed in seeds])
    print(table(effects))
    if arguments.json is not None:
        pooled = effects.filter(pl.col("dataset") == "*")
        rows = [
            {"name": f"effect of {row['variant']}", "value": row["effect"], "target": None, "met": None}
            for row in pooled.iter_rows(named=True)
        ]
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
