"""What every job that runs models does first: load, read prompts, open the run's row and record its inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from snql.db import prompts as prompt_records
from snql.db import records, runs, storage
from snql.db.connection import Database
from snql.errors import InputError
from snql.jobs.inputs import PromptInputs
from snql.models.context import Context
from snql.models.identity import combined_hash
from snql.models.loaded import LoadedModel
from snql.models.spec import parse_model_spec
from snql.prompts.template import Formatter, format_prompts
from snql.prompts.types import Prompt


def tokenize(
    read: PromptInputs, tokenizer: PreTrainedTokenizerBase, context: Context | None, room: int
) -> list[Prompt]:
    """Format the prompts; raises InputError if one leaves no ``room`` new tokens in the context."""
    prompts = format_prompts(read.sets.prompts, Formatter.of(read.options, tokenizer))
    longest = max(prompts, key=lambda prompt: len(prompt.input_ids))
    if context is not None and len(longest.input_ids) + room > context.length:
        raise InputError(
            f"prompt {longest.text[:40]!r} of {longest.dataset} has {len(longest.input_ids)} tokens; with {room} new "
            f"ones it is longer than {context}: remove it or lower `max_new_tokens`"
        )
    return prompts


@dataclass(frozen=True)
class Beginning:
    """What a run begins with, as it is recorded.

    models: by role. read: where the prompts come from, for the counts of what was left out, None for those of another
    run. batches: the batch of each prompt, in a run that has a plan. notes: what the run's numbers must be read with,
    beside what the models' and the prompt sets' own notes say.
    """

    device: str
    dtype: str
    models: Mapping[str, records.ModelRecord]
    prompts: Sequence[Prompt] = ()
    variants: Sequence[records.Variant] = ()
    read: PromptInputs | None = None
    batches: Sequence[int] | None = None
    notes: Sequence[str] = ()

    @property
    def all_notes(self) -> list[str]:
        """Each note once: of the models, of the prompt sets, and the job's own."""
        of_models = (note for model in self.models.values() for note in model.notes)
        of_sets = self.read.sets.notes if self.read is not None else ()
        return list(dict.fromkeys((*of_models, *of_sets, *self.notes)))

    @property
    def remarks(self) -> list[str]:
        """What is worth saying now, and not kept."""
        return list(dict.fromkeys(remark for model in self.models.values() for remark in model.remarks))

    @classmethod
    def of(
        cls,
        models: Mapping[str, LoadedModel],
        prompts: Sequence[Prompt] = (),
        variants: Sequence[records.Variant] = (),
        read: PromptInputs | None = None,
        batches: Sequence[int] | None = None,
        notes: Sequence[str] = (),
    ) -> "Beginning":
        """Of models that this process has loaded; device and number type are those of the first."""
        base = next(iter(models.values())).base
        return cls(
            device=str(base.device),
            dtype=base.dtype_name,
            models={role: describe_model(model) for role, model in models.items()},
            prompts=prompts,
            variants=variants,
            read=read,
            batches=batches,
            notes=notes,
        )


def begin_run(
    db: Database, new: runs.NewRun, resumed: runs.RunState | None, beginning: Beginning, *, force: bool
) -> int:
    """Open the run's row and record what it begins with; return its id.

    A resumed run keeps the plan of batches that it began with. Raises InputError if it began with other prompts, models
    or neurons: its results would be of both.
    """
    batches = beginning.batches
    if resumed is not None:
        _check_resumable(db, new, resumed.run_id, beginning)
        batches = prompt_records.planned_batches(db, resumed.run_id, beginning.prompts) or batches
    new = replace(new, device=beginning.device, dtype=beginning.dtype)
    read = beginning.read
    with db.write() as connection:
        run_id = runs.start_run(connection, new, resumed, force=force)
        records.write_models(connection, run_id, beginning.models)
        records.write_prompts(connection, run_id, beginning.prompts, batches)
        if read is not None:
            prompt_records.write_sets(connection, run_id, read.sets.counts, read.disjoint_from)
        records.write_variants(connection, run_id, beginning.variants)
        runs.add_notes(connection, run_id, beginning.all_notes)
    storage.remove_orphans(db)
    return run_id


def _check_resumable(db: Database, new: runs.NewRun, run_id: int, beginning: Beginning) -> None:
    """Raise InputError if a run began with other prompts, models or neuron sets."""
    if not prompt_records.same_prompts(db, run_id, beginning.prompts):
        raise InputError(
            f"{new.kind} run {new.name!r} cannot be resumed: its prompts, or their token ids, differ from when it "
            "began; restore the files, or `force` to replace it"
        )
    stored_models, stored_sets = records.read_models(db, run_id), records.read_set_hashes(db, run_id)
    now = {role: model.model_id for role, model in beginning.models.items()}
    sets = {v.name: None if v.members is None else v.members.sha256 for v in beginning.variants}
    changed = [f"the files of its {role} model" for role in now if stored_models.get(role, now[role]) != now[role]]
    changed += [f"the neurons of {name}" for name in sets if stored_sets.get(name, sets[name]) != sets[name]]
    if changed:
        raise InputError(
            f"{new.kind} run {new.name!r} cannot be resumed: {changed[0]} differ from when it began; restore them, or "
            "`force` to replace it"
        )


def describe_model(model: LoadedModel) -> records.ModelRecord:
    """A loaded model as the database records it."""
    base = model.base
    described = []
    for name, hashes in zip(model.adapter_names, model.adapter_hashes, strict=True):
        adapter = base.adapters[name]
        folder = adapter.files.place
        config = (folder / "adapter_config.json").read_text("utf-8")
        described.append(
            records.AdapterRecord(
                adapter_id=combined_hash(hashes),
                path=folder.name,
                peft_type=adapter.config.kind,
                config=config,
                files=hashes,
            )
        )
    return records.ModelRecord(
        model_id=model.model_id,
        spec=model.spec.text,
        base=str(parse_model_spec(model.spec.text).base),
        base_files=base.hashes,
        base_sha256=combined_hash(base.hashes),
        architecture=base.model_type,
        n_layers=base.n_layers,
        n_neurons=base.n_neurons,
        adapters=tuple(described),
        notes=model.notes,
        remarks=model.remarks,
    )
