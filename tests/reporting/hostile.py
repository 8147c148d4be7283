"""A report in which every text attacks: what models, prompts and names could hold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from snql.db import Database
from snql.reporting.build import build
from snql.reporting.model import Report
from snql.reporting.options import ReportOptions

from .capability import capability
from .conftest import Builder
from .guards import add_guard
from .shared import made_once

HOSTILE = (
    "<script>alert(1)</script>",
    "\\input{/etc/passwd}\\write18{touch pwned}",
    "[a](javascript:alert(2)) ![b](http://x/y.png) `c` | d",
    "</script><img src=x onerror=alert(3)>",
    "<!--<script>",
    "=cmd|' /C calc'!A0",
    "\x1b[31mred\x1b]0;title\x07",
    "{{ 7 * 7 }} %s {0}",
    "' onmouseover='alert(4)",
    '" onload="alert(5)',
    "right\u202eleft",
    "^^5cinput{x} % \\end{tabular} \\\\ & # $ _ ~ ``--''",
    "\u6f22\u5b57 \u0627\u0644 \u0105\u00e9 \U0001f469\u200d\U0001f52c",
    "long" * 40,
    "@SUM(1+1)*cmd\ttab",
)
RUNS = ("\n".join(HOSTILE[:5]), "\n".join(HOSTILE[5:14]), HOSTILE[14])
"""All of them as the names of three runs: charts have panels for each run."""


@made_once
def hostile_database(path: Path, seed: int = 0) -> Database:
    """Runs whose names, models, data sets, judges, prompts and completions are all hostile."""
    database = Database(path)
    with database.write() as connection:
        builder = Builder(connection)
        for number, text in enumerate(RUNS):
            values = np.random.default_rng(seed + number).lognormal(0, 1, (4, 50))
            located = builder.locate(text, values, config={"before": text, "after": text, "positions": text})
            builder.sums(located)
            builder.kept(located, HOSTILE)
        config: dict[str, object] = {"recipient": HOSTILE[0], "donor": HOSTILE[1], "argv": ["snql", *HOSTILE]}
        for text in (HOSTILE[1], HOSTILE[0]):
            builder.patch(
                f"{text} patch", source=text, datasets=(text, "y"), judges=(text,), texts=HOSTILE, config=config
            )
        capability(builder, f"{HOSTILE[0]} read", HOSTILE[:2], model=HOSTILE[0], donor=HOSTILE[1], source=HOSTILE[2])
        add_guard(
            builder, HOSTILE[0], model=HOSTILE[1], after=HOSTILE[2], datasets=(HOSTILE[3], HOSTILE[5]), judge=HOSTILE[4]
        )
        connection.execute("UPDATE completions SET text = ?", ["\n".join(HOSTILE)])
    return database


def hostile_report(folder: Path, formats: Sequence[str]) -> Report:
    """The report on :func:`hostile_database`, in ``folder/out``."""
    with hostile_database(folder / "x.duckdb") as database:
        return build(database, folder / "out", ReportOptions(formats=tuple(formats)))
