"""Settings of a training."""

from dataclasses import asdict, dataclass, field, replace

import torch

from snql.errors import InputError
from snql.models.options import LoadOptions, resolve_device

STAGES = ("sft", "dpo")
SCHEDULES = ("cosine", "linear", "constant")
DTYPES = ("auto", "float32", "bfloat16")
_MICRO = 4


@dataclass(frozen=True)
class TrainOptions:
    """Settings of one stage; names and meanings are those of the command line's options.

    stage: ``sft`` (fine-tuning on answers) or ``dpo`` (preferences). model: the spec that is trained, adapters and all.
    data: files, ``hub:`` or ``demo:`` names. where, sample, limit: which rows. held_out: examples that are not trained
    on, at most a tenth of all. batch: examples, or pairs, of one step; micro_batch: those that are read at once, None
    for as many as divide the batch, up to 4. max_steps: None for all ``epochs``. target: name of the module, None for
    the down-projection that snql finds. beta: of DPO alone. gradient_checkpointing: None for on where there is an
    accelerator. The defaults are [P]'s.
    """

    stage: str
    model: str
    data: tuple[str, ...]
    template: str = "auto"
    where: str | None = None
    sample: int | None = None
    limit: int | None = None
    held_out: int = 100
    epochs: float = 3.0
    max_steps: int | None = None
    learning_rate: float = 1e-3
    batch: int = 120
    micro_batch: int | None = None
    weight_decay: float = 0.1
    schedule: str = "cosine"
    warmup: float = 0.0
    max_length: int = 4096
    beta: float = 0.1
    seed: int = 42
    target: str | None = None
    gradient_checkpointing: bool | None = None
    load: LoadOptions = field(default_factory=LoadOptions)

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise InputError(f"stage {self.stage!r} is not known: use {' or '.join(STAGES)}")
        if not self.data:
            raise InputError("which data? give --data, such as --data demo:sft")
        if self.schedule not in SCHEDULES:
            raise InputError(f"--schedule {self.schedule!r} is not known: use {', '.join(SCHEDULES)}")
        if self.load.dtype not in DTYPES:
            raise InputError(
                f"--dtype {self.load.dtype!r}: gradients of half-precision floats vanish; use {', '.join(DTYPES)}"
            )
        self._check_numbers()
        self._check_batches()
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed {self.seed} is out of range: use a whole number from 0 to {2**32 - 1}")

    def _check_numbers(self) -> None:
        positive = {
            "--epochs": self.epochs, "--max-steps": self.max_steps, "--learning-rate": self.learning_rate,
            "--beta": self.beta, "--batch-size": self.batch, "--max-length": self.max_length,
            "--sample": self.sample, "--limit": self.limit,
        }  # fmt: skip
        for option, value in positive.items():
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"{option} {value} is out of range: it must be more than 0")
        for option, value in {"--weight-decay": self.weight_decay, "--held-out": self.held_out}.items():
            if not 0 <= value < float("inf"):
                raise InputError(f"{option} {value} is out of range: it must be at least 0")
        if not 0 <= self.warmup < 1:
            raise InputError(f"--warmup {self.warmup} is out of range: it is a share of the steps, from 0 to below 1")

    def _check_batches(self) -> None:
        if self.micro_batch is not None and (self.micro_batch < 1 or self.batch % self.micro_batch):
            raise InputError(f"--micro-batch {self.micro_batch} must divide --batch-size {self.batch}")

    @property
    def at_once(self) -> int:
        """Examples that are read at once."""
        if self.micro_batch is not None:
            return self.micro_batch
        return max(size for size in range(1, min(_MICRO, self.batch) + 1) if self.batch % size == 0)

    def resolved(self) -> "TrainOptions":
        """With device, number type and checkpointing as they are here. Raises InputError for what cannot train."""
        device = resolve_device(self.load.device)
        if device.type == "cuda" and (device.index is not None or torch.cuda.device_count() > 1):
            raise InputError("one GPU trains: choose it with CUDA_VISIBLE_DEVICES, and leave --device at auto or cuda")
        automatic = "float32" if device.type == "cpu" else "bfloat16"
        dtype = automatic if self.load.dtype == "auto" else self.load.dtype
        saving = device.type != "cpu" if self.gradient_checkpointing is None else self.gradient_checkpointing
        load = replace(self.load, device=device.type, dtype=dtype)
        return replace(self, load=load, gradient_checkpointing=saving, micro_batch=self.at_once)

    def settings(self) -> dict[str, object]:
        """Everything that the result depends on, as JSON has it."""
        flat = asdict(self) | asdict(self.load)
        flat["data"] = list(self.data)
        return {key: value for key, value in flat.items() if key not in ("load", "device_map", "quantize")}
