"""What every job that runs models does first: load, read prompts, open the run's row and record its inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from snql.db import prompts as prompt_records
from snql.db import records, runs
from snql.db.connection import Database
from snql.errors import InputError
from snql.models import adapters, files
from snql.models.loaded import LoadedModel
from snql.models.spec import parse_model_spec
from snql.prompts.inputs import PromptInputs
from snql.prompts.options import PromptOptions as PromptOptions
from snql.prompts.template import Formatter, format_prompts
from snql.prompts.types import Prompt


def tokenize(read: PromptInputs, model: LoadedModel, room: int) -> list[Prompt]:
    """Format the prompts; raises InputError if one leaves no ``room`` new tokens in the model's context."""
    prompts = format_prompts(read.sets.prompts, Formatter.of(read.options, model.base.tokenizer))
    context = model.base.context_length
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
    models: Mapping[str, LoadedModel],
    prompts: Sequence[Prompt],
    variants: Sequence[records.Variant],
    read: PromptInputs,
) -> tuple[int, list[Prompt]]:
    """Open the run's row and record its models, prompts and variants; return its id and the prompts with theirs.

    ``read`` is where the prompts come from, for the counts of what was left out. Raises InputError if a resumed run
    began with other prompts: its completions would be of both.
    """
    if resumed is not None and not prompt_records.same_prompts(db, resumed.run_id, prompts):
        raise InputError(
            f"{new.kind} run {new.name!r} cannot be resumed: its prompts, or their token ids, differ from when it "
            "began; restore the files, or --force to replace it"
        )
    described = {role: describe_model(model) for role, model in models.items()}
    run_id = runs.start_run(db, new, resumed)
    with runs.recorded(db, run_id), db.write() as connection:
        records.write_models(connection, run_id, described)
        ids = records.write_prompts(connection, run_id, prompts)
        prompt_records.write_sets(connection, run_id, read.sets.counts, read.disjoint_from)
        records.write_variants(connection, run_id, variants)
    return run_id, [replace(prompt, prompt_id=ids[prompt.dataset, prompt.sha256]) for prompt in prompts]


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
