"""``snql lm-eval``: tasks of the evaluation harness, plain and patched."""

from pathlib import Path
from typing import Annotated

import typer

from . import options as opt
from .progress import progress_shown
from .render import print_rows
from .state import state

COLUMNS = {
    "variant": "model",
    "n_neurons": "count",
    "task": "task",
    "metric": "metric",
    "filter": "filter",
    "value": "value",
    "stderr": "stderr",
    "change": "change",
    "n_samples": "n",
    "n_shot": "shots",
    "task_version": "version",
}


def lm_eval(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    tasks: Annotated[
        str, typer.Option(help="Tasks or groups by name, with commas between: gsm8k,mmlu,truthfulqa_mc2.")
    ],
    model: Annotated[str, typer.Option(help="Model that is tested.")],
    donor: opt.CapabilityDonor = None,
    neurons: opt.CapabilityNeurons = None,
    mode: opt.Mode = "donor",
    random: opt.Random = 0,
    patched_only: Annotated[
        bool, typer.Option("--patched-only", help="Test neither the unpatched model nor the donor.")
    ] = False,
    num_fewshot: Annotated[
        int | None, typer.Option("--num-fewshot", help="Examples in the prompt; by default the task's own number.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N documents of each task.")] = None,
    chat_template: Annotated[
        bool, typer.Option("--chat-template", help="Put tasks to the model in its chat template.")
    ] = False,
    include_path: Annotated[
        Path | None, typer.Option("--include-path", help="Folder with more task definitions (YAML).")
    ] = None,
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
    """Run tasks of the LM Evaluation Harness on a model, and on it with neurons patched (extra: snql[lm-eval])."""
    from snql.capability.lm_eval import lm_eval as run_lm_eval
    from snql.capability.options import LmEvalOptions, SubjectOptions
    from snql.models.options import LoadOptions

    load = LoadOptions(
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        device_map=device_map,
        attn_implementation=attn_implementation,
        quantize=quantize,
    )
    subject = SubjectOptions(
        model=model, donor=donor, neurons=tuple(neurons or ()), mode=mode, random=random, seed=seed, models=load
    )
    options = LmEvalOptions(
        subject=subject,
        tasks=opt.split(tasks),
        num_fewshot=num_fewshot,
        limit=limit,
        chat_template=chat_template,
        include_path=include_path,
        patched_only=patched_only,
    )
    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_lm_eval(here.open(), name, options, resume=resume, force=force, progress=progress)
    print_rows(found.scores, as_json=here.json, columns=COLUMNS, title=f"Tasks of {found.run}")
