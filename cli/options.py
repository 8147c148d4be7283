"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

Prompts = Annotated[
    list[str],
    typer.Option(
        "--prompts",
        help="Prompt file (jsonl, json, csv, tsv, parquet, txt, also .gz) or demo:NAME; repeatable.",
    ),
]
PromptColumn = Annotated[
    str | None, typer.Option("--prompt-column", help="Column with the prompt; recognised names need none.")
]
Template = Annotated[str, typer.Option("--template", help="auto, chat (the tokenizer's), tulu or plain.")]
Limit = Annotated[int | None, typer.Option("--limit", help="Only the first N prompts of each set.")]
BatchSize = Annotated[int, typer.Option("--batch-size", help="Rows a batch; changes speed, not results.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the bootstrap; stored with the run.")]
Dtype = Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that a model repository ships.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue a run of this name that did not finish.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a run of this name.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead of standard output.")]
