"""``snql train``: one stage of alignment as an IA3 adapter that snql loads, with a record of what made it."""

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import torch
from transformers import TrainerCallback

from snql.db.connection import Database
from snql.db.provenance import provenance
from snql.distribution import install
from snql.errors import InputError, RunError
from snql.interrupts import Stop, held_back
from snql.models.devices import quiet_loading
from snql.neurons.sets import NeuronSet
from snql.progress import Progress, ProgressCallback, say, silent
from snql.training.data import TrainingData
from snql.training.masking import Restoring
from snql.training.measure import as_frame, measure
from snql.training.options import TrainOptions
from snql.training.plan import Plan, prepare, resolved
from snql.training.subject import adapter_files, load_subject, save
from snql.writing.html import table

RECORD = "training.json"
CHECKPOINTS = "checkpoints"
_STATE = "trainer_state.json"
_STOPPING = "stopping after a checkpoint; Ctrl-C again stops at once"
_LIBRARIES = ("trl", "accelerate", "datasets")
_HISTORY = (
    *("step", "epoch", "loss", "learning_rate", "grad_norm", "token_accuracy", "entropy"),
    *("reward_margins", "reward_accuracies", "reward_chosen", "reward_rejected", "logps_chosen", "logps_rejected"),
)
_RENAMED = {"rewards/": "reward_", "logps/": "logps_", "mean_token_accuracy": "token_accuracy"}


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    model: the spec that loads what was trained. plan: its size. history: a row a step: step, epoch, loss,
    learning_rate, grad_norm, token_accuracy (share of answer tokens that are the likeliest), and of preferences
    reward_margins and reward_accuracies, as TRL logs them. held_out: see :func:`snql.training.measure.measure`.
    """

    folder: Path
    model: str
    plan: Plan
    history: pl.DataFrame
    held_out: pl.DataFrame

    def _repr_html_(self) -> str:
        return table(self.history, title=f"training of {self.model}")


def train(
    out: Path,
    options: TrainOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
    db: Database | None = None,
) -> TrainResult:
    """Train one stage and write adapter_model.safetensors, adapter_config.json and training.json into ``out``.

    resume: go on from the last checkpoint, to the same vectors. force: replace what is in the folder. db: where the
    expressions of ``only`` and ``freeze`` are evaluated; all other neurons keep their vectors, bit for bit. Raises
    InputError before anything is written for bad input; RunError, with the reason in training.json, if training fails.
    """
    if find_spec("trl") is None:
        raise InputError(f"training needs trl: {install('train')}")
    out = Path(out)
    chosen = resolved(options)
    record = _check_folder(out, chosen, resume=resume, force=force)
    made, data, members = prepare(chosen, db, progress)
    if record:
        _check_same(out, record, data, members)
    if record.get("status") == "done":
        return _result(out, record, made)
    with quiet_loading():
        subject = load_subject(chosen, members)
    if not record:
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
        out.mkdir(parents=True, exist_ok=True)
        for path in adapter_files(out):
            path.unlink()
    record = record or _record(chosen, made, data, subject.hashes) | _about(members)
    with _recorded(out, record), quiet_loading(), held_back(lambda: say(progress, _STOPPING)) as stop:
        _train(out, chosen, made, data, subject, record, stop, progress)
        save(subject, out)
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return _result(out, record, made)


def _train(
    out: Path,
    options: TrainOptions,
    made: Plan,
    data: TrainingData,
    subject: Any,
    record: dict[str, Any],
    stop: Stop,
    progress: ProgressCallback,
) -> None:
    """Train to the end, or raise KeyboardInterrupt after a checkpoint."""
    from snql.training.trainers import trainer

    began = time.monotonic()
    callbacks: list[TrainerCallback] = [_Watch(made, stop, progress)]
    if subject.mask is not None:
        callbacks.append(Restoring(subject.mask))
    trained = trainer(options, made, subject, data.train, out / CHECKPOINTS, callbacks)
    trained.train(resume_from_checkpoint=last_checkpoint(out / CHECKPOINTS))
    record["history"] = [_step(entry) for entry in trained.state.log_history if "loss" in entry]
    stop.here()
    record["held_out"] = measure(subject, data.held_out, options, made.max_length).to_dicts()
    record["seconds"] = round(record["seconds"] + time.monotonic() - began, 1)


class _Watch(TrainerCallback):
    """Tells progress, stops after a checkpoint when asked, and ends a training whose loss is no number."""

    def __init__(self, plan: Plan, stop: Stop, progress: ProgressCallback) -> None:
        self._plan, self._stop, self._progress = plan, stop, progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        self._progress(Progress("train", state.global_step, state.max_steps, "steps"))
        if self._stop.asked:
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> Any:  # noqa: ARG002
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise RunError(
                f"the loss is {loss} at step {state.global_step}: lower `learning_rate`, or use another `dtype`"
            )
        return control


def _step(entry: dict[str, float]) -> dict[str, float]:
    named = {_renamed(name): value for name, value in entry.items()}
    return {name: named[name] for name in _HISTORY if name in named}


def _renamed(name: str) -> str:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name


def last_checkpoint(folder: Path) -> str | None:
    """The last checkpoint that was written to its end: its state is written last."""
    found = {int(state.parent.name.rpartition("-")[2]): state.parent for state in folder.glob(f"checkpoint-*/{_STATE}")}
    return str(found[max(found)]) if found else None


def _check_folder(out: Path, options: TrainOptions, *, resume: bool, force: bool) -> dict[str, Any]:
    """The record to go on with, {} to begin anew. Raises InputError if the folder is in use."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, not a folder to write an adapter to: name another folder")
    if "+" in str(out):
        raise InputError(f"{out} could not stand in a model spec, which has a + between its parts: name another folder")
    if force or not out.exists() or not any(out.iterdir()):
        return {}
    try:
        record = json.loads((out / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{out} is not empty and holds no training: name another folder, or `force`") from None
    if not resume:
        remedy = (
            "`force` to replace it" if record["status"] == "done" else "`resume` to go on, or `force` to replace it"
        )
        raise InputError(f"{out} holds a training ({record['status']}): name another folder, or use {remedy}")
    wanted = json.loads(json.dumps(options.settings()))
    keys = sorted(key for key in wanted if record["settings"].get(key) != wanted[key] and key != "device")
    if keys:
        raise InputError(
            f"the training in {out} cannot be resumed: {', '.join(f'`{key}`' for key in keys)} "
            f"{'differs' if len(keys) == 1 else 'differ'} from when it began; use the same settings, or `force` to "
            "replace it"
        )
    found: dict[str, Any] = record
    return found


def _about(members: NeuronSet | None) -> dict[str, str | None]:
    """Which neurons are trained, as the record has it."""
    return {"trained_sha256": None if members is None else members.sha256}


def _check_same(out: Path, record: dict[str, Any], data: TrainingData, members: NeuronSet | None) -> None:
    if record.get("trained_sha256") != _about(members)["trained_sha256"]:
        raise InputError(
            f"the training in {out} cannot be resumed: `only` or `freeze` names other neurons now; restore the runs "
            "that they name, or `force`"
        )
    if record["data"]["sha256"] != data.sources:
        raise InputError(f"the training in {out} cannot be resumed: its data differ; restore the files, or `force`")


def _record(options: TrainOptions, made: Plan, data: TrainingData, hashes: dict[str, str]) -> dict[str, Any]:
    known = provenance()
    return {
        "status": "running",
        "reason": None,
        "stage": options.stage,
        "model": options.model,
        "model_sha256": hashes,
        "settings": options.settings(),
        "plan": asdict(made),
        "data": {"sha256": data.sources, "rows": asdict(data.counts)},
        "snql_version": known.snql_version,
        "git_commit": known.git_commit,
        "libraries": known.libraries | {name: version(name) for name in _LIBRARIES},
        "platform": known.platform,
        "seconds": 0.0,
        "held_out": [],
        "history": [],
    }


@contextmanager
def _recorded(out: Path, record: dict[str, Any]) -> Iterator[None]:
    """Keep training.json: running, then done, or failed or interrupted with the reason."""
    record["status"], record["reason"] = "running", None
    _write(out, record)
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = "the device is out of memory: lower `micro_batch` or `max_length`, or use `gradient_checkpointing`"
        _end(out, record, "failed", reason)
        raise RunError(reason) from error
    except KeyboardInterrupt:
        _end(out, record, "interrupted", "interrupted; `resume` goes on")
        raise
    except BaseException as error:
        _end(out, record, "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"[:500])
        raise
    _end(out, record, "done", None)


def _end(out: Path, record: dict[str, Any], status: str, reason: str | None) -> None:
    record["status"], record["reason"] = status, reason
    _write(out, record)


def _write(out: Path, record: dict[str, Any]) -> None:
    part = out / f".{RECORD}"
    part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    part.replace(out / RECORD)


def _result(out: Path, record: dict[str, Any], made: Plan) -> TrainResult:
    history = pl.DataFrame(record["history"], infer_schema_length=None)
    return TrainResult(out, f"{record['model']}+{out}", made, history, as_frame(record["held_out"]))
