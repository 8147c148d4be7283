"""What a training will do and need, before any weight is loaded."""

import math
from dataclasses import asdict, dataclass, replace

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from snql.db.connection import Database
from snql.errors import InputError, ModelError, reason
from snql.models import files
from snql.models.adapter_config import read_config
from snql.models.architectures import Architecture, architecture_of
from snql.models.devices import quiet_loading, resolve_device
from snql.models.ia3 import target_modules
from snql.models.sites import find_sites
from snql.models.spec import parse_model_spec
from snql.models.tokenizer import load_tokenizer
from snql.neurons.sets import NeuronSet, Shape
from snql.progress import ProgressCallback, silent
from snql.training.data import TrainingData, read_data
from snql.training.lora import check_stackable, n_entries
from snql.training.lora import targets as lora_targets
from snql.training.masking import trained_neurons
from snql.training.options import TrainOptions
from snql.training.stages import STAGES

_BYTES = {"float32": 4, "bfloat16": 2}
_PROGRAM_BYTES = 1_100_000_000
"""Python and its libraries, and what is kept of memory that was freed."""

_CONTEXTS = ("max_position_embeddings", "n_positions", "max_seq_len")


@dataclass(frozen=True)
class Plan:
    """The size of a training.

    parameters: of the model; trained: entries of the vectors, or of LoRA; neurons: whose entries these are, of
    all_neurons. max_length: the longest text, cut to the model's context. steps: optimizer steps. tokens,
    answer_tokens: read in all epochs. memory: bytes, see :func:`memory_needed`.
    """

    stage: str
    model: str
    parameters: int
    trained: int
    neurons: int
    all_neurons: int
    target: str
    examples: int
    held_out: int
    max_length: int
    longest: int
    steps: int
    batch: int
    micro_batch: int
    tokens: int
    answer_tokens: int
    memory: int
    device: str
    dtype: str


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model that are needed to plan."""

    parameters: int
    layers: int
    neurons: int
    hidden: int
    vocabulary: int
    context: int | None
    targets: tuple[str, ...]
    architecture: Architecture

    def entries(self, neurons: int, rank: int | None) -> int:
        """How many entries are trained where so many neurons are; rank: of LoRA, None for IA3."""
        return neurons if rank is None else n_entries(self.architecture, self.layers, self.hidden, neurons, rank)


def resolved(options: TrainOptions) -> TrainOptions:
    """With device, number type and checkpointing as they are here. Raises InputError for what cannot train."""
    device = resolve_device(options.models.device)
    if device.type == "cuda" and (device.index is not None or torch.cuda.device_count() > 1):
        raise InputError("one GPU trains: choose it with CUDA_VISIBLE_DEVICES, and leave `device` at auto or cuda")
    automatic = "float32" if device.type == "cpu" else "bfloat16"
    dtype = automatic if options.models.dtype == "auto" else options.models.dtype
    saving = device.type != "cpu" if options.gradient_checkpointing is None else options.gradient_checkpointing
    models = replace(options.models, device=device.type, dtype=dtype)
    return replace(options, models=models, gradient_checkpointing=saving, micro_batch=options.at_once)


def prepare(
    options: TrainOptions, db: Database | None = None, progress: ProgressCallback = silent
) -> tuple[Plan, TrainingData, NeuronSet | None]:
    """Read the data and work out the plan, and which neurons are trained, None for all; options are resolved ones.

    db: where expressions of neurons are evaluated. Raises InputError or ModelError.
    """
    sizes = _sizes(options)
    members = trained_neurons(db, options, Shape(sizes.layers, sizes.neurons))
    n_neurons = sizes.layers * sizes.neurons if members is None else len(members)
    trained = sizes.entries(n_neurons, options.lora)
    max_length = options.max_length if sizes.context is None else min(options.max_length, sizes.context)
    tokenizer = load_tokenizer(options.model, trust_remote_code=options.models.trust_remote_code)
    data = read_data(options, tokenizer, max_length, progress)
    steps = n_steps(data.train.num_rows, options)
    share = steps * options.batch / data.train.num_rows if options.max_steps else options.epochs
    made = Plan(
        stage=options.stage,
        model=options.model,
        parameters=sizes.parameters,
        trained=trained,
        neurons=n_neurons,
        all_neurons=sizes.layers * sizes.neurons,
        target=sizes.targets[0] if len(sizes.targets) == 1 else f"{len(sizes.targets)} modules",
        examples=data.train.num_rows,
        held_out=data.held_out.num_rows,
        max_length=max_length,
        longest=data.longest,
        steps=steps,
        batch=options.batch,
        micro_batch=options.at_once,
        tokens=round(data.tokens * share),
        answer_tokens=round(data.answer_tokens * share),
        memory=memory_needed(sizes, options, data.longest, trained),
        device=options.models.device,
        dtype=options.models.dtype,
    )
    return made, data, members


def plan(
    options: TrainOptions, db: Database | None = None, progress: ProgressCallback = silent
) -> tuple[Plan, TrainingData]:
    """What :func:`snql.training.run.train` would do with these options, and its data."""
    made, data, _ = prepare(resolved(options), db, progress)
    return made, data


def n_steps(n_examples: int, options: TrainOptions) -> int:
    """Optimizer steps as transformers' Trainer counts them: a last, smaller batch of an epoch is one, too."""
    if options.max_steps is not None:
        return options.max_steps
    reads = math.ceil(n_examples / options.at_once)
    accumulated = options.batch // options.at_once
    return max(1, math.ceil(options.epochs * math.ceil(reads / accumulated)))


def memory_needed(sizes: Sizes, options: TrainOptions, length: int, trained: int) -> int:
    """An estimate in bytes, of the longest texts all at once: weights, what is trained with gradients and moments in
    float32, and activations: the residual stream of every layer with checkpointing, and of one layer everything (all
    layers without), about 10 residual streams and 4 times the neurons, with LoRA its inputs in float32, too; a softmax
    over the vocabulary, for SFT of a tile of tokens; on a CPU the program itself.

    How much a softmax and the program take was measured (docs/training.md).
    """
    width = _BYTES[options.models.dtype]
    stage = STAGES[options.stage]
    tokens = options.at_once * length * stage.texts
    stream = tokens * sizes.hidden * width
    layer = 10 * stream + 4 * tokens * sizes.neurons * width
    if options.lora is not None:
        layer += 4 * tokens * (2 * sizes.hidden + sizes.neurons)
    activations = sizes.layers * stream + layer if options.gradient_checkpointing else sizes.layers * layer
    softmax = (8 * min(tokens, 1024) if stage.tiled else 17 * tokens) * sizes.vocabulary
    program = _PROGRAM_BYTES if options.models.device == "cpu" else 0
    return sizes.parameters * width + 16 * trained + activations + softmax + program


def _sizes(options: TrainOptions) -> Sizes:
    """From the configuration alone: the model is built without weights."""
    part = parse_model_spec(options.model).base
    given = files.tokenizer_files(part)
    gguf = {} if given.gguf is None else {"gguf_file": given.gguf}
    trust = options.models.trust_remote_code
    try:
        with quiet_loading(), given.alone() as folder, torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=trust, **gguf)
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"model {part} has no configuration that loads: {reason(error)}") from error
    architecture = architecture_of(model)
    contexts = (getattr(config, name, None) for name in _CONTEXTS)
    check_stackable(_kinds(options), options.lora, options.model)
    targets = (
        target_modules(model, architecture, options.target)
        if options.lora is None
        else lora_targets(model, architecture)
    )
    sites = find_sites(model, architecture)
    return Sizes(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        layers=len(sites),
        neurons=sites[0].n_neurons,
        hidden=int(config.hidden_size),
        vocabulary=int(config.vocab_size),
        context=next((length for length in contexts if isinstance(length, int)), None),
        targets=targets,
        architecture=architecture,
    )


def _kinds(options: TrainOptions) -> list[str]:
    """The types of the adapters that the model has."""
    parts = parse_model_spec(options.model).adapters
    return [read_config(files.adapter_files(part).place).kind for part in parts]


def described(made: Plan) -> dict[str, object]:
    """The plan as JSON has it."""
    return asdict(made)
