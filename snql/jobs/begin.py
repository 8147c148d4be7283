"""What every job that runs models does first: load, read prompts, open the run's row and record its inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from snql.db import prompts as prompt_records
from snql.db import records, runs, storage
from snql.db.connection import Database
from snql.errors import InputError
from snql.jobs.inputs import PromptInputs
from snql.models import adapters, files
from snql.models.loaded import LoadedModel
from snql.models.spec import parse_model_spec
from snql.prompts.options import PromptOptions as PromptOptions
from snql.prompts.template import Formatter, format_prompts
from snql.prompts.types import Prompt

JOB_LOCK_SECONDS = 600.0
"""How long a job waits to commit: longer than a person who only asks, for hours of work may hang on it."""


def tokenize(read: PromptInputs, tokenizer: PreTrainedTokenizerBase, context: int | None, room: int) -> list[Prompt]:
    """Format the prompts; raises InputError if one leaves no ``room`` new tokens in a context of that many tokens."""
    prompts = format_prompts(read.sets.prompts, Formatter.of(read.options, tokenizer))
    longest = max(prompts, key=lambda prompt: len(prompt.input_ids))
    if context is not None and len(longest.input_ids) + room > context:
        raise InputError(
            f"prompt {longest.text[:40]!r} of {longest.dataset} has {len(longest.input_ids)} tokens; with {room} new "
            f"ones it is longer than the model's context of {context}: remove it or lower --max-new-tokens"
        )
    return prompts


def begin_run(
    db: Database,
    new: runs.NewRun,
    resumed: runs.RunState | None,
    models: Mapping[str, records.ModelRecord],
    prompts: Sequence[Prompt],
    variants: Sequence[records.Variant],
    read: PromptInputs | None,
    *,
    force: bool,
    batches: Sequence[int] | None = None,
) -> tuple[int, list[Prompt]]:
    """Open the run's row and record its models, prompts and variants; return its id and the prompts with theirs.

    ``read`` is where the prompts come from, for the counts of what was left out, None for those of another run;
    ``batches`` the batch of each prompt, in a run that has a plan: a resumed run keeps the plan that it began with.
    Raises InputError if a resumed run began with other prompts: its completions would be of both.
    """
    if resumed is not None and not prompt_records.same_prompts(db, resumed.run_id, prompts):
        raise InputError(
            f"{new.kind} run {new.name!r} cannot be resumed: its prompts, or their token ids, differ from when it "
            "began; restore the files, or --force to replace it"
        )
    if resumed is not None:
        _check_resumable(db, new, resumed.run_id, models, variants)
        batches = prompt_records.planned_batches(db, resumed.run_id, prompts) or batches
    with db.write() as connection:
        run_id = runs.start_run(connection, new, resumed, force=force)
        records.write_models(connection, run_id, models)
        ids = records.write_prompts(connection, run_id, prompts, batches)
        if read is not None:
            prompt_records.write_sets(connection, run_id, read.sets.counts, read.disjoint_from)
        records.write_variants(connection, run_id, variants)
    storage.remove_orphans(db)
    return run_id, [replace(prompt, prompt_id=ids[prompt.dataset, prompt.sha256]) for prompt in prompts]


def _check_resumable(
    db: Database,
    new: runs.NewRun,
    run_id: int,
    models: Mapping[str, records.ModelRecord],
    variants: Sequence[records.Variant],
) -> None:
    """Raise InputError if models or neuron sets are not those that the run began with: its results would be of both."""
    stored_models, stored_sets = records.read_models(db, run_id), records.read_set_hashes(db, run_id)
    now = {role: model.model_id for role, model in models.items()}
    sets = {v.name: None if v.members is None else v.members.sha256 for v in variants}
    changed = [f"the files of its {role} model" for role in now if stored_models.get(role, now[role]) != now[role]]
    changed += [f"the neurons of {name}" for name in sets if stored_sets.get(name, sets[name]) != sets[name]]
    if changed:
        raise InputError(
            f"{new.kind} run {new.name!r} cannot be resumed: {changed[0]} differ from when it began; restore them, or "
            "--force to replace it"
        )


def describe_model(model: LoadedModel) -> records.ModelRecord:
    """A loaded model as the database records it."""
    base = model.base
    described = []
    for name, hashes in zip(model.adapter_names, model.adapter_hashes, strict=True):
        folder = base.adapters[name]
        config = (folder / "adapter_config.json").read_text("utf-8")
        kind = adapters.read_config(folder)["peft_type"]
        described.append(records.AdapterRecord(files.combined_hash(hashes), folder.name, kind, config, hashes))
    return records.ModelRecord(
        model_id=model.model_id,
        spec=model.spec.text,
        base=str(parse_model_spec(model.spec.text).base),
        base_files=base.hashes,
        base_sha256=files.combined_hash(base.hashes),
        architecture=base.model_type,
        n_layers=base.n_layers,
        n_neurons=base.n_neurons,
        adapters=tuple(described),
    )
