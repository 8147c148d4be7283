"""Settings of a training."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from typing_extensions import Doc

from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.jobs.options import Seed, check_seed
from snql.models.options import LoadOptions
from snql.options import Flag, Inside, Later, Rare, config
from snql.prompts.options import Limit, PromptOptions, Sample, Template, Where

SCHEDULES = ("cosine", "linear", "constant")
DTYPES = ("auto", "float32", "bfloat16")
_MICRO = 4


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Settings of one stage. The defaults are [P]'s.

    model: the spec that is trained, adapters and all. target: None for the down-projection that snql finds. beta: of
    preferences alone. gradient_checkpointing: None for on where there is an accelerator.
    """

    stage: ClassVar[str]

    model: str
    data: tuple[str, ...]
    template: Template = "auto"
    where: Where = None
    sample: Sample = None
    limit: Limit = None
    held_out: Annotated[int, Doc("Examples that are only measured, before and after; at most a tenth.")] = 100
    epochs: Annotated[float, Doc("Times that all examples are read.")] = 3.0
    max_steps: Annotated[int | None, Doc("Stop after so many steps.")] = None
    learning_rate: Annotated[float, Doc("Highest learning rate, of AdamW.")] = 1e-3
    batch: Annotated[int, Doc("Examples, or pairs, a step."), Flag("--batch-size")] = 120
    micro_batch: Annotated[int | None, Doc("Examples read at once; as divide the batch, up to 4."), Rare()] = None
    weight_decay: Annotated[float, Doc("Weight decay; it pulls vectors towards 0."), Rare()] = 0.1
    schedule: Annotated[str, Doc("cosine, linear or constant."), Rare()] = "cosine"
    warmup: Annotated[float, Doc("Share of the steps in which the learning rate rises."), Rare()] = 0.0
    max_length: Annotated[int, Doc("Longest text in tokens; longer ones are cut.")] = 4096
    beta: Annotated[float, Doc("How strongly the model is held to its reference.")] = 0.1
    seed: Annotated[int, Doc("Seed of the order of the examples and of `sample`.")] = 42
    target: Annotated[str | None, Doc("Module to rescale the input of; the down-projection by default."), Rare()] = None
    lora: Annotated[
        int | None,
        Doc("Rank: train LoRA on all that neurons read and write, in place of IA3."),
        Flag("--lora-rank", key="lora_rank"),
        Later(),
        Rare(),
    ] = None
    only: Annotated[
        str | None, Doc("Neuron expression: train the vectors' entries of these neurons alone."), Later()
    ] = None
    freeze: Annotated[str | None, Doc("Neuron expression: train all neurons but these."), Later()] = None
    gradient_checkpointing: Annotated[
        bool | None, Doc("Compute activations again instead of keeping them; on with an accelerator."), Rare()
    ] = None
    models: Annotated[
        LoadOptions,
        Inside(
            without=("device_map", "quantize"),
            docs={"dtype": "Number type of the frozen weights: auto, float32 or bfloat16."},
        ),
    ] = LoadOptions()

    def __post_init__(self) -> None:
        if not self.data:
            raise InputError("which data? give `data`, such as `data` demo:sft")
        if self.schedule not in SCHEDULES:
            raise InputError(f"`schedule` {self.schedule!r} is not known: use {', '.join(SCHEDULES)}")
        if self.models.dtype not in DTYPES:
            raise InputError(
                f"`dtype` {self.models.dtype!r}: gradients of half-precision floats vanish; use {', '.join(DTYPES)}"
            )
        if self.only is not None and self.freeze is not None:
            raise InputError("`only` and `freeze` do not go together: `only` A - B trains A without B")
        if self.lora is not None and self.target is not None:
            raise InputError("`target` is what IA3 rescales: leave it out with `lora`")
        self._check_numbers()
        self._check_batches()
        if not 0 <= self.seed < 2**32:
            raise InputError(f"`seed` {self.seed} is out of range: use a whole number from 0 to {2**32 - 1}")

    def _check_numbers(self) -> None:
        for option in (
            "epochs",
            "max_steps",
            "learning_rate",
            "beta",
            "batch",
            "max_length",
            "sample",
            "limit",
            "lora",
        ):
            value = getattr(self, option)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"`{option}` {value} is out of range: it must be more than 0")
        for option, value in {"weight_decay": self.weight_decay, "held_out": self.held_out}.items():
            if not 0 <= value < float("inf"):
                raise InputError(f"`{option}` {value} is out of range: it must be at least 0")
        if not 0 <= self.warmup < 1:
            raise InputError(f"`warmup` {self.warmup} is out of range: it is a share of the steps, from 0 to below 1")

    def _check_batches(self) -> None:
        if self.micro_batch is not None and (self.micro_batch < 1 or self.batch % self.micro_batch):
            raise InputError(f"`micro_batch` {self.micro_batch} must divide `batch` {self.batch}")

    @property
    def at_once(self) -> int:
        """Examples that are read at once."""
        if self.micro_batch is not None:
            return self.micro_batch
        return max(size for size in range(1, min(_MICRO, self.batch) + 1) if self.batch % size == 0)

    def settings(self) -> dict[str, Any]:
        """Everything that the result depends on, and where it was made."""
        own = {"stage": self.stage, "device": self.models.device}
        return {key: value for key, value in config(self).items() if key not in ("device_map", "quantize")} | own


@dataclass(frozen=True, kw_only=True)
class SftOptions(TrainOptions):
    """Fine-tuning on answers."""

    stage: ClassVar[str] = "sft"

    model: Annotated[str, Doc("Model to fine-tune."), Flag("--base", "--model")]
    data: Annotated[
        tuple[str, ...],
        Doc("Dialogues or prompts with answers: a file, hub:ID[@REVISION][:SPLIT] or demo:sft; repeatable."),
    ]


@dataclass(frozen=True, kw_only=True)
class DpoOptions(TrainOptions):
    """Training on preferences."""

    stage: ClassVar[str] = "dpo"

    model: Annotated[str, Doc("Fine-tuned model, such as BASE+OUT/sft; also the reference."), Flag("--model", "--base")]
    data: Annotated[
        tuple[str, ...],
        Doc("Preferences (chosen, rejected): a file, hub:ID[@REVISION][:SPLIT] or demo:safety; repeatable."),
    ]


@dataclass(frozen=True, kw_only=True)
class PairsOptions:
    """Preferences from prompts alone."""

    model: Annotated[str, Doc("Model whose own answers are one side of each pair, such as BASE+OUT/sft.")]
    refuse: Annotated[tuple[str, ...], Doc("Prompts to refuse: a file, demo:NAME or hub:ID; repeatable.")] = ()
    answer: Annotated[tuple[str, ...], Doc("Prompts to answer; repeatable.")] = ()
    prompts: Annotated[PromptOptions, Inside(without=("prompts", "disjoint_from", "response_prefix"))] = PromptOptions()
    writing: Annotated[WritingOptions, Inside(without=("repetition_penalty", "no_repeat_ngram", "stop"))] = (
        WritingOptions(max_new_tokens=64)
    )
    seed: Seed = 0
    models: LoadOptions = LoadOptions()

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not self.refuse and not self.answer:
            raise InputError("which prompts? give `refuse`, such as `refuse` demo:harmful, or `answer`")
