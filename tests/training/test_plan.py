"""What a training will do, said before it is done: steps, sizes, and the modules of every architecture."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model_state_dict

from snql.errors import InputError
from snql.models.architectures import ARCHITECTURES
from snql.models.options import LoadOptions
from snql.training.options import DpoOptions, SftOptions, TrainOptions
from snql.training.plan import Sizes, memory_needed, n_steps, plan, resolved
from snql.training.subject import load_subject

from ..models.test_architectures import CONFIGS, EXPERTS, N_NEURONS, save_random

CPU = LoadOptions(device="cpu")


def options(**more: Any) -> TrainOptions:
    settings: dict[str, Any] = {"model": "demo:base", "data": ("demo:sft",), "models": CPU} | more
    return (DpoOptions if settings.pop("stage", "sft") == "dpo" else SftOptions)(**settings)


def test_the_published_settings_are_the_defaults() -> None:
    made = options()
    assert (made.learning_rate, made.epochs, made.batch, made.weight_decay) == (1e-3, 3.0, 120, 0.1)
    assert (made.schedule, made.max_length, made.beta, made.seed, made.at_once) == ("cosine", 4096, 0.1, 42, 4)


@pytest.mark.parametrize(
    ("n", "batch", "micro", "epochs", "steps"),
    [
        (100, 10, 5, 1.0, 10),
        (101, 10, 5, 1.0, 11),
        (100, 12, None, 3.0, 27),
        (5, 120, None, 3.0, 3),
        (10, 4, 4, 0.5, 2),
    ],
)
def test_steps_are_counted_by_hand(n: int, batch: int, micro: int | None, epochs: float, steps: int) -> None:
    assert n_steps(n, options(batch=batch, micro_batch=micro, epochs=epochs)) == steps


def test_a_plan_counts_rows_tokens_and_parameters() -> None:
    made, data = plan(options(limit=60, held_out=4, batch=8, epochs=2.0))
    rows = data.train.to_pylist()
    assert (made.examples, made.held_out, len(rows)) == (56, 4, 56)
    assert data.counts.summary() == "5120 rows, 5060 not in the sample, 56 trained on, 4 held out"
    assert made.tokens == 2 * sum(len(row["input_ids"]) for row in rows)
    assert made.answer_tokens == 2 * sum(label >= 0 for row in rows for label in row["labels"])
    assert (made.parameters, made.trained, made.steps) == (1707392, 9 * 256, 14)
    assert made.max_length == 512, "the model's context is shorter than 4096"
    doubled, _ = plan(options(limit=60, held_out=4, batch=8, micro_batch=8))
    assert made.memory < doubled.memory < 2 * made.memory
    assert made.memory > 4 * made.parameters


MEASURED = [
    ("sft", 64, None, "bfloat16", 1.65),
    ("sft", 256, None, "bfloat16", 2.63),
    ("sft", 256, None, "float32", 3.59),
    ("sft", 256, 8, "bfloat16", 3.05),
    ("dpo", 128, None, "bfloat16", 2.77),
    ("dpo", 128, 8, "bfloat16", 3.05),
]
"""Peaks of trainings of SmolLM2-135M, four examples or pairs at once, as docs/training.md has them: gigabytes."""


@pytest.mark.parametrize(("stage", "length", "rank", "dtype", "gigabytes"), MEASURED)
def test_memory_is_about_what_was_measured(
    stage: str, length: int, rank: int | None, dtype: str, gigabytes: float
) -> None:
    sizes = Sizes(134_515_008, 30, 1536, 576, 49_152, 8192, ("down_proj",), ARCHITECTURES["llama"])
    made = {"sft": SftOptions, "dpo": DpoOptions}[stage](
        model="m", data=("d",), batch=4, lora=rank, models=LoadOptions(device="cpu", dtype=dtype)
    )
    found = memory_needed(sizes, made, length, sizes.entries(46_080, rank))
    assert found == pytest.approx(1e9 * gigabytes, rel=0.1)


def test_unusable_rows_are_named_with_their_reason(tmp_path: Path) -> None:
    good = {"prompt": "Hi?", "chosen": "Yes.", "rejected": "No."}
    rows = [good, good | {"chosen": " "}, *[good | {"chosen": "No."}] * 7, good]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    _, data = plan(options(stage="dpo", model="demo:sft", data=(str(path),)))
    assert data.counts.unusable == 8
    assert data.counts.reasons == ("a blank answer: row 2", "two equal answers: rows 3, 4, 5, 6, 7, …")
    assert "8 unusable (a blank answer: row 2; two equal answers: rows 3, " in data.counts.summary()
    _, data = plan(options(stage="dpo", model="demo:sft", data=(str(path),), where="chosen = ' ' OR rowid = 0"))
    assert data.counts.reasons == ("a blank answer: row 2",), "numbers are those of the file, not of what is left of it"


def test_held_out_prompts_are_in_no_trained_example() -> None:
    made, data = plan(options(stage="dpo", model="demo:sft", data=("demo:concise",), limit=400, held_out=30))
    prompts = [{tuple(row["prompt_ids"]) for row in table.to_pylist()} for table in (data.train, data.held_out)]
    assert not prompts[0] & prompts[1]
    assert made.examples + made.held_out == 400
    assert 30 <= made.held_out < 35
    none, _ = plan(options(limit=5))
    assert none.held_out == 0, "a tenth of five examples is less than one"


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_the_down_projections_of_every_architecture_are_trained(kind: str, tmp_path: Path) -> None:
    folder = str(save_random(tmp_path / kind, CONFIGS[kind]()))
    chosen = resolved(options(model=folder, template="plain"))
    if kind in EXPERTS:
        with pytest.raises(InputError, match="use a dense model"):
            load_subject(chosen)
        return
    subject = load_subject(chosen)
    names = [name for name in get_peft_model_state_dict(subject.model) if "ia3_l" in name]
    width = 128 if kind in ("bloom", "mpt") else N_NEURONS
    trained = {name: p for name, p in subject.model.named_parameters() if p.requires_grad}
    assert len(names) == len(trained) == 2
    assert all(p.shape == (1, width) for p in trained.values())
    ids = torch.tensor([[1, 50, 60, 70]])
    with torch.no_grad(), subject.model.disable_adapter():
        plain = subject.model(input_ids=ids).logits
    for parameter in trained.values():
        parameter.data.fill_(0.5)
    with torch.no_grad():
        halved = subject.model(input_ids=ids).logits
    base: Any = subject.model.get_base_model()
    for name, module in base.named_modules():
        if hasattr(module, "ia3_l"):
            module.base_layer.weight.data *= 0.5
            assert module.is_feedforward, name
    with torch.no_grad(), subject.model.disable_adapter():
        torch.testing.assert_close(halved, subject.model(input_ids=ids).logits, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(plain, halved)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": ()}, "which data"),
        ({"models": LoadOptions(dtype="float16")}, "`dtype` 'float16': gradients of half-precision floats vanish"),
        ({"schedule": "odd"}, "`schedule` 'odd' is not known: use cosine, linear, constant"),
        ({"beta": 0.0}, "`beta` 0.0 is out of range"),
        ({"learning_rate": float("nan")}, "`learning_rate` nan is out of range"),
        ({"held_out": -1}, "`held_out` -1 is out of range"),
        ({"warmup": 1.0}, "`warmup` 1.0 is out of range"),
        ({"micro_batch": 7}, "`micro_batch` 7 must divide `batch` 120"),
        ({"seed": -1}, "`seed` -1 is out of range"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        options(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"target": "o_proj"},
            "`target` 'o_proj' is not the down-projection of this model: leave it out, or use 'mlp.down",
        ),
        ({"data": ("demo:helpful",)}, "no bundled data 'demo:helpful' for sft: there is demo:sft"),
        ({"data": ("none.jsonl",)}, "no prompt file none.jsonl"),
        ({"max_length": 3, "limit": 5}, "can be trained on: 5120 rows, 5115 not in the sample, 5 too long"),
        ({"where": "false"}, "nothing of demo:sft can be trained on: 5120 rows, 5120 not chosen by `where`"),
    ],
)
def test_wrong_data_and_modules_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(options(**settings))


def test_a_target_may_be_named(tmp_path: Path) -> None:
    assert plan(options(target="down_proj", limit=20))[0].target == "down_proj"
