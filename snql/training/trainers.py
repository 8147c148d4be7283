"""TRL's trainers on examples that are token ids already; they print nothing and send nothing.

Imports trl, so it is imported only when something is trained.
"""

from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from huggingface_hub import constants
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from snql.training.options import TrainOptions
from snql.training.plan import Plan
from snql.training.subject import Subject

_REFERENCE = ".ref"
"""How TRL's names of the reference's parameters end."""


class _Ids(datasets.Dataset):  # type: ignore[misc]
    """Examples that are ids, which stay as they are: encoded again they might be others.

    SFTTrainer can be told not to encode; DPOTrainer cannot, and does it by ``map``.
    """

    def map(self, *_: Any, **__: Any) -> "_Ids":
        return self

    def filter(self, *_: Any, **__: Any) -> "_Ids":
        return self


class _Sft(SFTTrainer):
    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no page beside the checkpoints."""


class _Dpo(DPOTrainer):
    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no page beside the checkpoints."""

    def create_optimizer(self, *given: Any, **named: Any) -> Any:
        """For the vectors alone. TRL keeps a copy of them as they began, its reference; whether that is trainable
        depends on what was run before, so that a checkpoint might hold another number of vectors than is loaded."""
        model: Any = self.model
        for name, parameter in model.named_parameters():
            if name.endswith(_REFERENCE):
                parameter.requires_grad_(False)
        return super().create_optimizer(*given, **named)


def trainer(
    options: TrainOptions,
    plan: Plan,
    subject: Subject,
    train: pa.Table,
    checkpoints: Path,
    callbacks: list[TrainerCallback],
) -> Any:
    """The stage's trainer; options are resolved ones."""
    constants.HF_HUB_DISABLE_TELEMETRY = True  # the environment variable is read earlier, by whoever imports the hub
    arguments = _arguments(options, plan, checkpoints)
    shared: dict[str, Any] = {
        "model": subject.model,
        "train_dataset": _Ids(train),
        "processing_class": subject.tokenizer,
        "callbacks": callbacks,
    }
    made = _TRAINERS[options.stage](options, arguments, shared)
    made.remove_callback(PrinterCallback)
    return made


def _sft(_: TrainOptions, arguments: dict[str, Any], shared: dict[str, Any]) -> Any:
    config = SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True}, packing=False)
    return _Sft(args=config, **shared)


def _dpo(options: TrainOptions, arguments: dict[str, Any], shared: dict[str, Any]) -> Any:
    """The reference is the model with its vectors switched off."""
    return _Dpo(args=DPOConfig(**arguments, beta=options.beta, loss_type=["sigmoid"]), ref_model=None, **shared)


_TRAINERS = {"sft": _sft, "dpo": _dpo}


def _arguments(options: TrainOptions, plan: Plan, checkpoints: Path) -> dict[str, Any]:
    return {
        "output_dir": str(checkpoints),
        "per_device_train_batch_size": plan.micro_batch,
        "gradient_accumulation_steps": plan.batch // plan.micro_batch,
        "num_train_epochs": options.epochs,
        "max_steps": options.max_steps or -1,
        "learning_rate": options.learning_rate,
        "weight_decay": options.weight_decay,
        "lr_scheduler_type": options.schedule,
        "warmup_steps": round(options.warmup * plan.steps),
        "optim": "adamw_torch",
        "seed": options.seed,
        "data_seed": options.seed,
        "max_length": plan.max_length,
        "gradient_checkpointing": bool(options.gradient_checkpointing),
        # The model has its own number type; vectors are float32. No second conversion on top of that.
        "bf16": False,
        "fp16": False,
        "use_cpu": options.models.device == "cpu",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": max(1, min(50, plan.steps // 10)),
        "save_total_limit": 2,
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": options.models.device != "cpu",
    }
