"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

PROMPTS_HELP = (
    "Prompt file (jsonl, json, csv, tsv, parquet, txt, also .gz or .xz), demo:NAME, or hub:ID[@REVISION][:SPLIT]; "
    "several may be given."
)
Prompts = Annotated[list[str], typer.Option("--prompts", help=PROMPTS_HELP)]
PromptColumn = Annotated[
    str | None, typer.Option("--prompt-column", help="Column with the prompt; recognised names need none.")
]
Template = Annotated[
    str, typer.Option("--template", help="auto, chat (the tokenizer's), tulu, plain, or a .jinja file.")
]
System = Annotated[str | None, typer.Option("--system", help="System text, before the prompt.")]
ResponsePrefix = Annotated[
    str | None, typer.Option("--response-prefix", help="How the answer begins: given to the model, not written by it.")
]
Where = Annotated[
    str | None, typer.Option("--where", help="SQL condition over the file's columns, such as \"category = 'illegal'\".")
]
Sample = Annotated[int | None, typer.Option("--sample", help="N prompts of each set, drawn with --seed.")]
Limit = Annotated[int | None, typer.Option("--limit", help="Only the first N prompts of each set (of the sample).")]
DisjointFrom = Annotated[
    list[str] | None, typer.Option("--disjoint-from", help="Leave out the prompts of this run; repeatable.")
]
AllowOverlap = Annotated[
    bool,
    typer.Option("--allow-overlap", help="Keep prompts that the rankings in --neurons were made on."),
]
AutoBatchSize = Annotated[
    str,
    typer.Option("--batch-size", help="Rows a batch, or auto: what memory holds. Changes speed, not results."),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of --sample and of the bootstrap; stored with the run.")]
Dtype = Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
DeviceMap = Annotated[
    str | None, typer.Option("--device-map", help="As in transformers: auto spreads a model over several GPUs.")
]
Attention = Annotated[
    str | None, typer.Option("--attn-implementation", help="sdpa, eager, flash_attention_2, ... (the model's own).")
]
Quantize = Annotated[str | None, typer.Option("--quantize", help="8bit or 4bit weights, with bitsandbytes.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that a model repository ships.")
]
EngineName = Annotated[str, typer.Option("--engine", help="local (this process) or ray (extra: snql[ray]).")]
Workers = Annotated[int, typer.Option("--workers", help="Ray workers; each one holds the models.")]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray-address", help="Join this Ray cluster (auto or HOST:PORT); else one is started."),
]
Mode = Annotated[
    str,
    typer.Option(
        "--mode",
        help="What neurons become: donor (dynamic patching), zero, mean:RUN, noise:RUN[:K] (K standard deviations) "
        "or scale:X. Means and deviations are those of a locate run (RUN:before or RUN:after).",
    ),
]
Sweep = Annotated[
    str,
    typer.Option("--sweep", help="Sizes, such as 0.5%,1%,5% or 0..20000:1000; --neurons then names locate runs."),
]
Random = Annotated[
    int,
    typer.Option("--random", help="Random controls for each set: as many neurons in each layer, none of the set's."),
]
JudgeSign = Annotated[
    list[str] | None,
    typer.Option(
        "--judge-sign", help="cost (high is worse) or reward (high is better), or JUDGE=cost for one; repeatable."
    ),
]
Rubric = Annotated[
    Path | None,
    typer.Option("--rubric", help="What an endpoint or a guard is asked: a file with {prompt} and {completion}."),
]
ContrastPrompts = Annotated[
    list[str] | None,
    typer.Option(
        "--contrast-prompts",
        help="Harmless prompts that the others are set against, by prompt-difference and wanda; repeatable.",
    ),
]
NeutralPrompts = Annotated[
    list[str] | None,
    typer.Option(
        "--neutral-prompts", help="Prompts that find universal neurons, which prompt-difference leaves out; repeatable."
    ),
]
CapabilityDonor = Annotated[
    str | None, typer.Option("--donor", help="Model whose activations are patched in; needed by --mode donor.")
]
CapabilityNeurons = Annotated[
    list[str] | None,
    typer.Option("--neurons", help="Neuron expression, such as safety:5%; repeatable. None: the plain model."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue a run of this name that did not finish.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a run of this name.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead of standard output.")]


def split(text: str) -> tuple[str, ...]:
    """The parts of an option that takes several, with commas between."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
