"""What every job that runs models does first: load, read prompts, open the run's row and record its inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from transformers import PreTrainedTokenizerBase

from snql.db import prompts as prompt_records
from snql.db import records, runs, storage
from snql.db.connection import Database
from snql.errors import InputError
from snql.generation.types import Completion
from snql.jobs.inputs import PromptInputs
from snql.models.context import Context, shortest
from snql.models.identity import combined_hash
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.models.spec import parse_model_spec
from snql.models.tokenizer import template_of_model
from snql.progress import ProgressCallback, silent
from snql.prompts.notes import notes_on
from snql.prompts.options import ROLES, PromptOptions
from snql.prompts.template import Formatter, format_prompts
from snql.prompts.types import Prompt

_ALIKE = {"before": "recipient", "after": "donor", "recipient": "before", "donor": "after"}
"""Roles that name the same side of a pair, in runs of other kinds."""


@dataclass(frozen=True)
class Readers:
    """The models that a run's prompts are read by.

    tokenizer: of the first. context: the most tokens of a text that all of them read; n_embeddings: the token ids that
    all of them know are below it. None: not known. specs: by role, for their chat templates.
    """

    tokenizer: PreTrainedTokenizerBase
    context: Context | None
    n_embeddings: int | None
    specs: Mapping[str, str]
    trust_remote_code: bool = False

    @classmethod
    def of(cls, models: Mapping[str, LoadedModel], options: LoadOptions) -> "Readers":
        """Of models that this process has loaded."""
        bases = [model.base for model in models.values()]
        return cls(
            tokenizer=bases[0].tokenizer,
            context=shortest(base.context for base in bases),
            n_embeddings=min(base.n_embeddings for base in bases),
            specs={role: model.spec.text for role, model in models.items()},
            trust_remote_code=options.trust_remote_code,
        )

    def role(self, template: str) -> str:
        """The role that a template's name stands for: of runs of other kinds, the same side of the pair."""
        return template if template in self.specs else _ALIKE.get(template, template)

    def formatter(self, options: PromptOptions, day: date | None = None) -> Formatter:
        """What puts prompts to them; raises InputError for a template that is not to be had."""
        if options.template not in ROLES:
            return Formatter.of(options, self.tokenizer, day=day)
        spec = self.specs.get(self.role(options.template))
        if spec is None:
            raise InputError(f"`template` {options.template}: the models of this run are {', '.join(self.specs)}")
        tokenizer, text = template_of_model(spec, trust_remote_code=self.trust_remote_code)
        if text is None:
            raise InputError(f"`template` {options.template}: {spec} has no chat template; use another `template`")
        return Formatter.of(options, tokenizer, day=day, chat_template=text)


@dataclass(frozen=True)
class Given:
    """Prompts as models are given them, what was read with notes on what became of it, and what has put them so."""

    prompts: list[Prompt]
    read: PromptInputs
    formatter: Formatter


def tokenize(read: PromptInputs, readers: Readers, room: int, progress: ProgressCallback = silent) -> Given:
    """Format the prompts.

    Raises InputError if a prompt leaves no ``room`` new tokens in the context, or has a token that a model lacks.
    """
    formatter = readers.formatter(read.options, read.day)
    prompts = format_prompts(read.sets.prompts, formatter, progress)
    check_fit(prompts, readers, room)
    name = read.options.template
    other = readers.role(name) if name in ROLES else name
    taken = () if other == name else (f"`template` {name}: this run has no such model; it is taken for {other}",)
    notes = (*read.sets.notes, *taken, *notes_on(formatter, read.sets.prompts))
    return Given(prompts, replace(read, sets=replace(read.sets, notes=notes)), formatter)


def check_fit(prompts: Sequence[Prompt], readers: Readers, room: int) -> None:
    """Raise InputError if a prompt leaves no ``room`` new tokens in the context, or has a token that a model lacks."""
    longest = max(prompts, key=lambda prompt: len(prompt.input_ids))
    context, known = readers.context, readers.n_embeddings
    if context is not None and len(longest.input_ids) + room > context.length:
        raise InputError(
            f"prompt {longest.text[:40]!r} of {longest.dataset} has {len(longest.input_ids)} tokens; with {room} new "
            f"ones it is longer than {context}: remove it or lower `max_new_tokens`"
        )
    highest = max(prompts, key=lambda prompt: max(prompt.input_ids))
    if known is not None and (token := max(highest.input_ids)) >= known:
        text = readers.tokenizer.convert_ids_to_tokens(token)
        raise InputError(
            f"prompt {highest.text[:40]!r} of {highest.dataset} has token id {token} ({text!r}), but the model's "
            f"embedding ends at {known - 1} ({known} rows): it was not resized for its tokenizer; remove the prompt"
        )


@dataclass(frozen=True)
class Beginning:
    """What a run begins with, as it is recorded.

    models: by role. read: where the prompts come from, for the counts of what was left out, None for those of another
    run. batches: the batch of each prompt, in a run that has a plan. notes: what the run's numbers must be read with,
    beside what the models' and the prompt sets' own notes say. completions: the first variant's, a text and its tokens
    for each prompt, where they are given and not written.
    """

    device: str
    dtype: str
    models: Mapping[str, records.ModelRecord]
    prompts: Sequence[Prompt] = ()
    variants: Sequence[records.Variant] = ()
    read: PromptInputs | None = None
    batches: Sequence[int] | None = None
    notes: Sequence[str] = ()
    completions: Sequence[tuple[str, Completion]] | None = None

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
        prompt_ids = records.write_prompts(connection, run_id, beginning.prompts, batches)
        if read is not None:
            prompt_records.write_sets(connection, run_id, read.sets.counts, read.disjoint_from)
        records.write_variants(connection, run_id, beginning.variants)
        if beginning.completions is not None and resumed is None:
            records.write_given(connection, run_id, prompt_ids, beginning.completions)
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
