"""What patching does in the bundled models, for every shipped safety seed, beside a trivial ranking.

Prints the table of docs/organism.md ("Patching results"). The trivial ranking takes the neurons with the largest
root mean square activation of the unaligned model: it knows nothing of the aligned one. ``--quick`` uses 20 prompts
and one size; ``--json FILE`` writes a list of {name, value, target, met}.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
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


def measure(db: Database, seed: str, percentages: Sequence[int], limit: int | None) -> pl.DataFrame:
    """Effects of one adapter's top neurons, and of the trivial ranking's, with five matched controls each."""
    before, after = "demo:sft", f"demo:{seed}"
    source = PromptOptions(("demo:locate",), limit=limit)
    options = LocateOptions(
        before=before,
        after=after,
        prompts=source,
        writing=WritingOptions(max_new_tokens=48, batch_size=256),
        skip_last_layers=0,
        keep="none",
    )
    n_all = locate(db, seed, options).shape.size
    sizes = [round(n_all * percentage / 100) for percentage in percentages]
    expressions = [f"{seed}:{k}" for k in sizes] + [BY_SIZE.format(run=seed, k=k) for k in sizes]
    patched = PatchOptions(
        recipient=before,
        donor=after,
        neurons=tuple(expressions),
        prompts=PromptOptions(SETS, limit=limit),
        judging=JudgingOptions(("demo:cost",)),
        random=5,
        writing=WritingOptions(max_new_tokens=48, batch_size=256),
    )
    effects = with_controls(patch(db, seed, patched).effects)
    ranking = pl.when(pl.col("variant").str.starts_with("sql")).then(pl.lit("activation size"))
    return effects.with_columns(ranking.otherwise(pl.lit("change score")).alias("ranking"), pl.lit(seed).alias("seed"))


def table(effects: pl.DataFrame) -> str:
    """A Markdown table: one row per seed, ranking and size; one column per prompt set."""
    lines = [
        "| adapter | ranking | neurons | " + " | ".join(f"`{name}`" for name in SETS) + " | random, most |",
        "|---|---|---:|" + "---:|" * (len(SETS) + 1),
    ]
    for (seed, ranking, k), rows in effects.group_by(["seed", "ranking", "n_neurons"], maintain_order=True):
        cells = {row["dataset"]: _cell(row) for row in rows.iter_rows(named=True)}
        most = rows["control_max"].max()
        wanted = [cells[name] for name in SETS]
        lines.append(f"| `{seed}` | {ranking} | {k} | " + " | ".join(wanted) + f" | {most:.3f} |")
    return "\n".join(lines)


def _cell(row: dict[str, float]) -> str:
    if row["effect"] is None:
        return "undefined"
    return f"{row['effect']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"


def main() -> None:
    """Measure, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    seeds, percentages, limit = (SEEDS[:1], (5,), 20) if arguments.quick else (SEEDS, (5, 10, 20), None)
    with tempfile.TemporaryDirectory() as folder, Database(Path(folder) / "x.duckdb") as db:
        effects = pl.concat([measure(db, seed, percentages, limit) for seed in seeds])
    print(table(effects.filter(pl.col("dataset") != "*")))
    if arguments.json is not None:
        pooled = effects.filter(pl.col("dataset") == "*")
        rows = [
            {"name": f"effect of {row['variant']}", "value": row["effect"], "target": None, "met": None}
            for row in pooled.iter_rows(named=True)
        ]
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
