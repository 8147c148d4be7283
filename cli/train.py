"""``snql train``: make an aligned model, as IA3 vectors on the down-projections."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as opt
from .commands import command
from .progress import progress_shown
from .render import note, print_json_parts, print_table
from .state import state

if TYPE_CHECKING:
    from snql.training.plan import Plan
    from snql.training.run import TrainResult

train = typer.Typer(help="Make aligned models: IA3 vectors on the down-projections (extra: snql[train]).")

Out = Annotated[Path, typer.Argument(help="Folder for the adapter.")]
Epochs = Annotated[float, typer.Option(help="Times that all examples are read.")]
MaxSteps = Annotated[int | None, typer.Option("--max-steps", help="Stop after so many steps.")]
Rate = Annotated[float, typer.Option("--learning-rate", help="Highest learning rate, of AdamW.")]
Batch = Annotated[int, typer.Option("--batch-size", help="Examples, or pairs, a step.")]
Micro = Annotated[
    int | None, typer.Option("--micro-batch", help="Examples read at once; as many as divide the batch, up to 4.")
]
Decay = Annotated[float, typer.Option("--weight-decay", help="Weight decay; it pulls vectors towards 0.")]
Schedule = Annotated[str, typer.Option(help="cosine, linear or constant.")]
Warmup = Annotated[float, typer.Option(help="Share of the steps in which the learning rate rises.")]
Length = Annotated[int, typer.Option("--max-length", help="Longest text in tokens; longer ones are cut.")]
HeldOut = Annotated[
    int, typer.Option("--held-out", help="Examples that are only measured, before and after; at most a tenth.")
]
Seed = Annotated[int, typer.Option(help="Seed of the order of the examples and of --sample.")]
Target = Annotated[str | None, typer.Option(help="Module to rescale the input of; the down-projection by default.")]
Checkpointing = Annotated[
    bool | None,
    typer.Option(
        "--gradient-checkpointing/--no-gradient-checkpointing",
        help="Compute activations again instead of keeping them; on with an accelerator.",
    ),
]
Dtype = Annotated[str, typer.Option(help="Number type of the frozen weights: auto, float32 or bfloat16.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print steps, tokens and an estimate of memory; train nothing.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what the folder holds.")]
_HISTORY = ("step", "epoch", "loss", "learning_rate", "grad_norm", "accuracy", "reward_margins", "reward_accuracies")
_SHOWN = 12


@command(train)
def sft(
    context: typer.Context,
    out: Out,
    base: Annotated[str, typer.Option("--base", help="Model to fine-tune.")],
    data: Annotated[
        list[str],
        typer.Option(
            help="Dialogues or prompts with answers: a file, hub:ID[@REVISION][:SPLIT] or demo:sft; repeatable."
        ),
    ],
    template: opt.Template = "auto",
    where: opt.Where = None,
    sample: opt.Sample = None,
    limit: opt.Limit = None,
    held_out: HeldOut = 100,
    epochs: Epochs = 3.0,
    max_steps: MaxSteps = None,
    learning_rate: Rate = 1e-3,
    batch_size: Batch = 120,
    micro_batch: Micro = None,
    weight_decay: Decay = 0.1,
    schedule: Schedule = "cosine",
    warmup: Warmup = 0.0,
    max_length: Length = 4096,
    seed: Seed = 42,
    target: Target = None,
    gradient_checkpointing: Checkpointing = None,
    dtype: Dtype = "auto",
    device: opt.Device = "auto",
    attn_implementation: opt.Attention = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    dry_run: DryRun = False,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Fine-tune on answers: only the tokens of answers carry loss."""
    load = {
        "dtype": dtype,
        "device": device,
        "trust_remote_code": trust_remote_code,
        "attn_implementation": attn_implementation,
    }
    settings = {
        "where": where, "sample": sample, "limit": limit, "held_out": held_out, "epochs": epochs,
        "max_steps": max_steps, "learning_rate": learning_rate, "batch": batch_size, "micro_batch": micro_batch,
        "weight_decay": weight_decay, "schedule": schedule, "warmup": warmup, "max_length": max_length, "seed": seed,
        "target": target, "gradient_checkpointing": gradient_checkpointing,
    }  # fmt: skip
    _train(context, out, ("sft", base, tuple(data), template), settings, load, (dry_run, resume, force))


@command(train)
def dpo(
    context: typer.Context,
    out: Out,
    model: Annotated[str, typer.Option("--model", help="Fine-tuned model, such as BASE+OUT/sft; also the reference.")],
    data: Annotated[
        list[str],
        typer.Option(
            help="Preferences (chosen, rejected): a file, hub:ID[@REVISION][:SPLIT] or demo:safety; repeatable."
        ),
    ],
    beta: Annotated[float, typer.Option(help="How strongly the model is held to its reference.")] = 0.1,
    template: opt.Template = "auto",
    where: opt.Where = None,
    sample: opt.Sample = None,
    limit: opt.Limit = None,
    held_out: HeldOut = 100,
    epochs: Epochs = 3.0,
    max_steps: MaxSteps = None,
    learning_rate: Rate = 1e-3,
    batch_size: Batch = 120,
    micro_batch: Micro = None,
    weight_decay: Decay = 0.1,
    schedule: Schedule = "cosine",
    warmup: Warmup = 0.0,
    max_length: Length = 4096,
    seed: Seed = 42,
    target: Target = None,
    gradient_checkpointing: Checkpointing = None,
    dtype: Dtype = "auto",
    device: opt.Device = "auto",
    attn_implementation: opt.Attention = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    dry_run: DryRun = False,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Train on preferences (DPO), on top of a fine-tuned model, which stays as it is."""
    load = {
        "dtype": dtype,
        "device": device,
        "trust_remote_code": trust_remote_code,
        "attn_implementation": attn_implementation,
    }
    settings = {
        "beta": beta, "where": where, "sample": sample, "limit": limit, "held_out": held_out, "epochs": epochs,
        "max_steps": max_steps, "learning_rate": learning_rate, "batch": batch_size, "micro_batch": micro_batch,
        "weight_decay": weight_decay, "schedule": schedule, "warmup": warmup, "max_length": max_length, "seed": seed,
        "target": target, "gradient_checkpointing": gradient_checkpointing,
    }  # fmt: skip
    _train(context, out, ("dpo", model, tuple(data), template), settings, load, (dry_run, resume, force))


def _train(
    context: typer.Context,
    out: Path,
    stage: tuple[str, str, tuple[str, ...], str],
    settings: dict[str, Any],
    load: dict[str, Any],
    how: tuple[bool, bool, bool],
) -> None:
    from snql.models.options import LoadOptions
    from snql.training.options import DpoOptions, SftOptions

    chosen = dict(zip(("model", "data", "template"), stage[1:], strict=True)) | settings
    options = (SftOptions if stage[0] == "sft" else DpoOptions)(**chosen, models=LoadOptions(**load))
    dry_run, resume, force = how
    here = state(context)
    if dry_run:
        from snql.training.plan import plan

        made, data = plan(options)
        note(data.counts.summary(), quiet=here.quiet)
        _print_plan(made, as_json=here.json)
        return
    from snql.training.run import train

    with progress_shown(quiet=here.quiet) as progress:
        found = train(out, options, resume=resume, force=force, progress=progress)
    _print_result(found, as_json=here.json)
    note(f"{out} holds the adapter and training.json; load it as {found.model}", quiet=here.quiet)


def _print_plan(made: "Plan", *, as_json: bool) -> None:
    import polars as pl

    from snql.training.plan import described

    frame = pl.DataFrame([described(made)])
    if as_json:
        print_json_parts({"plan": frame})
        return
    cells = {**described(made), "memory": f"about {made.memory / 1e9:.3g} GB"}
    rows = pl.DataFrame([(name, str(value)) for name, value in cells.items()], ["what", "value"], orient="row")
    print_table(rows, title="What would be trained")


def _print_result(found: "TrainResult", *, as_json: bool) -> None:
    import polars as pl

    if as_json:
        print_json_parts({"history": found.history, "held_out": found.held_out})
        return
    every = max(1, -(-len(found.history) // _SHOWN))
    steps = pl.col("step")
    shown = found.history.filter((steps % every == 0) | (steps == steps.max()) | (steps == 1))
    print_table(shown.select(name for name in _HISTORY if name in shown.columns), title=f"Training of {found.model}")
    if len(found.held_out):
        print_table(found.held_out, title=f"{found.plan.held_out} examples that were held out")
