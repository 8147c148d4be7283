"""Fine-tuning with ``snql train sft`` beside TRL's own trainer given the same texts, model, vectors and settings.

Each in a process of its own, in turn, from the data's file to the adapter's: processor time for each token that is
learnt from, imports left out. On the bundled base, or ``--model FOLDER`` such as SmolLM2-135M. ``--quick``: a quarter
of the examples.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import datasets
from measured import Result, in_child, show
from peft import IA3Config
from transformers import AutoModelForCausalLM, AutoTokenizer, logging
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from snql.models.options import LoadOptions
from snql.organism import bundled
from snql.prompts.files import read_rows
from snql.training.options import SftOptions
from snql.training.run import train

TARGET = "<= 1.1"
LEARNING_RATE, BATCH, MICRO_BATCH, LENGTH, SEED = 1e-3, 8, 4, 256, 42


def by_snql(model: str, data: Path, out: Path) -> float:
    """Processor seconds of the whole training."""
    options = SftOptions(
        model=model,
        data=(str(data),),
        epochs=1,
        batch=BATCH,
        micro_batch=MICRO_BATCH,
        max_length=LENGTH,
        held_out=0,
        seed=SEED,
        models=LoadOptions(dtype="float32", device="cpu"),
    )
    begun = time.process_time()
    train(out, options)
    return time.process_time() - begun


def by_trl(model: str, data: Path, out: Path) -> float:
    """The same with TRL alone: it applies the chat template, masks what is asked, and trains."""
    begun = time.process_time()
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = [
        {"prompt": row["messages"][:1], "completion": row["messages"][1:]}
        for row in map(json.loads, data.read_text("utf-8").splitlines())
    ]
    targets = ["mlp.down_proj"]
    config = SFTConfig(
        output_dir=str(out),
        per_device_train_batch_size=MICRO_BATCH,
        gradient_accumulation_steps=BATCH // MICRO_BATCH,
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        weight_decay=0.1,
        lr_scheduler_type="cosine",
        max_length=LENGTH,
        seed=SEED,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        completion_only_loss=True,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        dataloader_pin_memory=False,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype="float32"),
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=IA3Config(task_type="CAUSAL_LM", target_modules=targets, feedforward_modules=targets),
    )
    trainer.train()
    trainer.save_model(str(out))
    return time.process_time() - begun


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the examples")
    parser.add_argument("--examples", type=int, default=640)
    parser.add_argument("--json", type=Path, help="write a list of {name, value, target, met}")
    parser.add_argument("--model", default=str(bundled.bundle_path() / "base"), help="folder of a Llama-like model")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        way, model, data, out = given.child
        logging.set_verbosity_error()
        sys.stdout.write(f"\n{(by_snql if way == 'snql' else by_trl)(model, Path(data), Path(out))}\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.jsonl"
        rows = list(read_rows(bundled.training_path("sft"), "demo:sft"))[
            : given.examples // 4 if given.quick else given.examples
        ]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        tokenizer = AutoTokenizer.from_pretrained(given.model)
        learnt = sum(len(tokenizer(row["messages"][1]["content"]).input_ids) for row in rows)
        seconds: dict[str, list[float]] = {"snql": [], "trl": []}
        for number in range(3):
            for way, found in seconds.items():
                out = str(Path(folder) / f"{way}{number}")
                found.append(in_child(__file__, [way, given.model, str(data), out]))
    ours, other = (statistics.median(found) for found in seconds.values())
    results = [
        Result("snql train sft [ms a token]", 1e3 * ours / learnt),
        Result("TRL alone [ms a token]", 1e3 * other / learnt),
        Result("snql / TRL", ours / other, TARGET),
    ]
    show(results, given.json)


if __name__ == "__main__":
    sys.exit(main())
