"""``snql guard``: train a classifier of prompts on a few neurons, test it on other prompts, answer under its watch."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as opt
from .commands import command
from .progress import progress_shown
from .render import note, note_prompts, print_object, print_paragraphs, print_table
from .state import state

if TYPE_CHECKING:
    import polars as pl

guard = typer.Typer(help="Guards: a few neurons tell, before anything is written, whether an answer would be harmful.")

Name = Annotated[str, typer.Argument(help="Name of the guard.")]
Benign = Annotated[
    list[str] | None, typer.Option("--benign", help="Prompts that should not be refused, as --prompts; repeatable.")
]
JudgeName = Annotated[str | None, typer.Option("--judge", help="refusal, demo:cost, ...: see `snql judge --help`.")]

COLUMNS = {
    "dataset": "prompts",
    "n_prompts": "n",
    "n_harmful": "harmful",
    "accuracy": "accuracy",
    "ci_low": "low",
    "ci_high": "high",
    "balanced-accuracy": "balanced",
    "auroc": "AUROC",
    "f1": "F1",
    "brier": "Brier",
    "ece": "ECE",
    "false-alarms": "false alarms",
    "majority": "majority",
    "matched": "random",
    "difference": "over random",
    "difference_ci_low": "low",
    "difference_ci_high": "high",
}
SIZES = {
    "neurons": "neurons",
    "n_neurons": "count",
    "kind": "read",
    "n_classifiers": "sets",
    "value": "accuracy",
    "ci_low": "low",
    "ci_high": "high",
    "difference": "guard over it",
    "difference_ci_low": "low",
    "difference_ci_high": "high",
}
COSTS = {
    "model": "model",
    "guarded_by": "guard reads",
    "dataset": "prompts",
    "n_prompts": "n",
    "n_accepted": "accepted",
    "mean_cost": "mean cost",
    "ci_low": "low",
    "ci_high": "high",
    "change": "change",
    "change_ci_low": "low",
    "change_ci_high": "high",
    "guard_rate": "refused by guard",
    "refusal_rate": "refused",
}


@command(guard)
def train(
    context: typer.Context,
    name: Name,
    model: Annotated[str, typer.Option(help="Model whose answers are to be guarded: the one before alignment.")],
    neurons: Annotated[str, typer.Option(help="Neurons to read: an expression, such as safety:5%.")],
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompts", help=f"{opt.PROMPTS_HELP} With --from-run: which of that run's prompt sets."),
    ] = None,
    benign: Benign = None,
    judge: JudgeName = None,
    from_run: Annotated[
        str | None, typer.Option("--from-run", help="Take answers and scores that this run has stored; writes none.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="An answer is harmful if its cost is above this (for rewards: below).")
    ] = 0.0,
    refuse_from: Annotated[
        float, typer.Option("--refuse-from", help="The guard refuses from this probability of a harmful answer on.")
    ] = 0.5,
    plain: Annotated[
        bool, typer.Option("--plain", help="scikit-learn's defaults, as published: C = 1, activations not scaled.")
    ] = False,
    sizes: Annotated[
        str, typer.Option(help="More guards on the top of the same ranking, such as 1%,5% or 10,50..500:50.")
    ] = "",
    random: Annotated[
        int, typer.Option("--random", help="Random controls of each kind: same layers, last layer, anywhere.")
    ] = 5,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 128,
    out: Annotated[Path | None, typer.Option(help="Also save the guard in this folder.")] = None,
    prompt_column: opt.PromptColumn = None,
    template: opt.Template = "auto",
    system: opt.System = None,
    response_prefix: opt.ResponsePrefix = None,
    where: opt.Where = None,
    sample: opt.Sample = None,
    limit: opt.Limit = None,
    disjoint_from: opt.DisjointFrom = None,
    allow_overlap: opt.AllowOverlap = False,
    batch_size: opt.AutoBatchSize = "auto",
    seed: opt.Seed = 0,
    dtype: opt.Dtype = "auto",
    device: opt.Device = "auto",
    device_map: opt.DeviceMap = None,
    attn_implementation: opt.Attention = None,
    quantize: opt.Quantize = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    resume: opt.Resume = False,
    force: opt.Force = False,
) -> None:
    """Fit a guard on a model's activations at the last prompt token and on what a judge says of its answers."""
    from snql.generation.options import WritingOptions
    from snql.guard.learn import train as run_train
    from snql.guard.options import GuardOptions
    from snql.models.options import LoadOptions
    from snql.prompts.options import PromptOptions

    reading: Any = {
        "prompt_column": prompt_column,
        "template": template,
        "limit": limit,
        "sample": sample,
        "where": where,
        "disjoint_from": tuple(disjoint_from or ()),
        "system": system,
        "response_prefix": response_prefix,
    }
    options = GuardOptions(
        model=model,
        neurons=neurons,
        prompts=PromptOptions(tuple(prompts or ()), **reading),
        benign=tuple(benign or ()),
        judge=judge,
        from_run=from_run,
        threshold=threshold,
        refuse_from=refuse_from,
        plain=plain,
        sizes=opt.split(sizes),
        random=random,
        writing=WritingOptions(
            max_new_tokens=max_new_tokens, batch_size=int(batch_size) if batch_size.isdecimal() else batch_size
        ),
        seed=seed,
        allow_overlap=allow_overlap,
        out=out,
        models=LoadOptions(
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            device_map=device_map,
            attn_implementation=attn_implementation,
            quantize=quantize,
        ),
    )
    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_train(here.open(), name, options, resume=resume, force=force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        print_object({"run": found.run, "facts": found.facts, "scores": found.scores.to_dicts(), "says": found.says})
        return
    _print_scores(found.scores, f"Guard {found.run} on prompts that were held out of its fits")
    for line in found.says:
        note(line, quiet=here.quiet)


@command(guard)
def test(
    context: typer.Context,
    name: Name,
    prompts: Annotated[list[str] | None, typer.Option("--prompts", help=opt.PROMPTS_HELP)] = None,
    benign: Benign = None,
    judge: JudgeName = None,
    run: Annotated[str | None, typer.Option("--as", help="Name of the run; by default the guard's.")] = None,
    costs: Annotated[
        bool, typer.Option("--costs", help="Measure what answers cost and how many are refused, with the guard or not.")
    ] = False,
    after: Annotated[
        str | None, typer.Option(help="With --costs: also for this model, such as the aligned one.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Where the guard's model is now, if not where it was.")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Longest answer, in tokens; by default as in training.")
    ] = None,
    prompt_column: opt.PromptColumn = None,
    where: opt.Where = None,
    sample: opt.Sample = None,
    limit: opt.Limit = None,
    disjoint_from: opt.DisjointFrom = None,
    allow_overlap: Annotated[
        bool,
        typer.Option("--allow-overlap", help="Keep prompts that the guard was trained, or its neurons ranked, on."),
    ] = False,
    batch_size: opt.AutoBatchSize = "auto",
    seed: opt.Seed = 0,
    dtype: opt.Dtype = "auto",
    device: opt.Device = "auto",
    device_map: opt.DeviceMap = None,
    attn_implementation: opt.Attention = None,
    quantize: opt.Quantize = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    resume: opt.Resume = False,
    force: opt.Force = False,
) -> None:
    """Test a guard and its random controls on other prompts, each set by itself and all together."""
    from snql.guard.options import GuardTestOptions
    from snql.guard.testing import test as run_test
    from snql.models.options import LoadOptions
    from snql.prompts.options import PromptOptions

    options = GuardTestOptions(
        prompts=PromptOptions(
            tuple(prompts or ()),
            prompt_column=prompt_column,
            template="auto",
            limit=limit,
            sample=sample,
            where=where,
            disjoint_from=tuple(disjoint_from or ()),
        ),
        benign=tuple(benign or ()),
        judge=judge,
        run=run,
        costs=costs,
        after=after,
        model=model,
        max_new_tokens=max_new_tokens,
        batch_size=int(batch_size) if batch_size.isdecimal() else batch_size,
        seed=seed,
        allow_overlap=allow_overlap,
        models=LoadOptions(
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            device_map=device_map,
            attn_implementation=attn_implementation,
            quantize=quantize,
        ),
    )
    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_test(here.open(), name, options, resume=resume, force=force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        parts = {"scores": found.scores.to_dicts(), "costs": found.costs.to_dicts()}
        print_object({"run": found.run, "guard": found.guard, **parts, "says": found.says})
        return
    _print_scores(found.scores, f"Guard {found.guard} on prompts that it has not seen")
    if len(found.costs):
        print_table(found.costs, COSTS, "Costs of accepted answers and refusals, with the guard and without")
    for line in found.says:
        note(line, quiet=here.quiet)


@command(guard)
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the guard, or the folder that it was saved in.")],
    prompt: Annotated[str, typer.Option(help="What is asked; - reads it from standard input.")],
    on: Annotated[
        str,
        typer.Option("--on", help="What a flagged prompt gets: refuse, or prefix (its answer begins with --prefix)."),
    ] = "refuse",
    prefix: Annotated[str | None, typer.Option(help="How the answer to a flagged prompt begins.")] = None,
    refusal: Annotated[str | None, typer.Option(help="What is said in place of an answer.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Flag from this probability of a harmful answer on; by default the guard's.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Where the guard's model is now, if not where it was.")] = None,
    other_model: Annotated[
        bool, typer.Option("--other-model", help="Allow --model to be another model of that shape than the guard's.")
    ] = False,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 128,
    repeats: Annotated[
        int, typer.Option(help="Pairs of prefills, with the guard and without, that its latency is measured on.")
    ] = 5,
    dtype: opt.Dtype = "auto",
    device: opt.Device = "auto",
    device_map: opt.DeviceMap = None,
    attn_implementation: opt.Attention = None,
    quantize: opt.Quantize = None,
    trust_remote_code: opt.TrustRemoteCode = False,
) -> None:
    """Answer a prompt under a guard: what it flags is refused before anything is written, or begun safely."""
    from snql.generation.options import WritingOptions
    from snql.guard import running
    from snql.guard.options import GuardRunOptions
    from snql.models.options import LoadOptions

    options = GuardRunOptions(
        prompt=sys.stdin.read().rstrip("\n") if prompt == "-" else prompt,
        on=on,
        prefix=prefix,
        refusal=refusal,
        threshold=threshold,
        model=model,
        other_model=other_model,
        writing=WritingOptions(max_new_tokens=max_new_tokens),
        repeats=repeats,
        models=LoadOptions(
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            device_map=device_map,
            attn_implementation=attn_implementation,
            quantize=quantize,
        ),
    )
    here = state(context)
    found = running.run(here.open(), name, options)
    if here.json:
        print_object(vars(found))
        return
    print_paragraphs(found.answer)
    verdict = "flagged" if found.flagged else "not flagged"
    note(f"{verdict}: probability {found.probability:.4f}, threshold {found.threshold:g}", quiet=here.quiet)
    if found.added_ms is not None:
        note(
            f"reading {found.n_prompt_tokens} prompt tokens took {found.guarded_prefill_ms:.2f} ms with the guard "
            f"({found.n_neurons} neurons) and {found.prefill_ms:.2f} ms without: {found.added_ms:+.2f} ms",
            quiet=here.quiet,
        )


def _print_scores(scores: "pl.DataFrame", title: str) -> None:
    """The guard's measures on each data set, a row each; then its accuracy beside random neurons, by their number."""
    from snql.guard.results import by_size, overview

    if not len(scores):
        return
    print_table(overview(scores), COLUMNS, title)
    print_table(by_size(scores), SIZES, "Accuracy by number of neurons, all prompts")
