"""``snql train pairs``: preferences from prompts alone, a model's own answers on one side and refusals on the other.

Where a model should refuse, a refusal is chosen over its own answer; where it should answer, its own answer over a
refusal. Both sides are what the model would write or a short text, so that nobody has to write what it should not say,
and preferences differ in little but whether it refuses.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from snql.db.durable import written
from snql.errors import InputError
from snql.generation import budget
from snql.generation.batch import batch_of_each
from snql.generation.decode import generate
from snql.judges.refusal import refuses
from snql.models.identity import combined_hash
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.options import config
from snql.progress import Progress, ProgressCallback, silent
from snql.prompts.read import read_prompt_sets
from snql.prompts.template import Formatter, format_prompts
from snql.prompts.types import Prompt, RawPrompt
from snql.training.options import PairsOptions
from snql.writing.html import table

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "Sorry, I can't assist with this request.",
    "I won't help with that, because it could hurt someone.",
    "No, I'm not able to help with something like this.",
    "I can't do that. Is there something else I can help you with?",
    "That could cause harm, so I have to decline.",
)
"""What is chosen where a model should refuse; each is drawn as often as any other."""

REFUSE, ANSWER = "refuse", "answer"
RECORD = ".json"
_END = re.compile(r"[.!?](?=\s|$)")
_NUMBERED = re.compile(r"(?:^|\n)\s*\d+\.$")
"""What ends with the number of a list's next item."""


@dataclass(frozen=True)
class Pair:
    """One preference, with what is preferred in it: ``refuse`` or ``answer``."""

    prompt: str
    chosen: str
    rejected: str
    prefers: str


@dataclass(frozen=True)
class PairsResult:
    """What was written to ``path``. counts: a row for each kind of prompt: prompts, pairs, and why others gave none:
    the model refused by itself, or wrote no whole sentence.
    """

    path: Path
    counts: pl.DataFrame

    def _repr_html_(self) -> str:
        return table(self.counts, title=f"pairs in {self.path}")


def pairs(
    path: Path,
    options: PairsOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> PairsResult:
    """Write a file of preferences (jsonl: prompt, chosen, rejected, prefers), for ``snql train dpo --data``.

    The model's own answers are greedy and end with their last whole sentence. A prompt gives no pair where the model
    refuses by itself (the judge ``refusal``), and where its answer has no whole sentence. Beside the file, a record of
    the same name with ``.json``: settings, hashes of the model's files, counts. resume: keep a file that was made with
    the same settings; force: replace one. Raises InputError for a file that is there otherwise, and if no prompt gives
    a pair.
    """
    path = Path(path)
    record = _check_file(path, options, resume=resume, force=force)
    if record:
        return PairsResult(path, pl.DataFrame(record["counts"]))
    asked = {REFUSE: _read(options, options.refuse, progress), ANSWER: _read(options, options.answer, progress)}
    model = load_models({"model": options.model}, options.models)["model"]
    formatter = Formatter.of(options.prompts, model.base.tokenizer)
    found: list[Pair] = []
    counts = []
    for prefers, prompts in asked.items():
        given = format_prompts(prompts, formatter, progress)
        answers = _answers(model, given, options, f"{prefers}: write", progress)
        made, left_out = _paired(prompts, answers, prefers, options.seed)
        found += made
        counts.append({"prefers": prefers, "prompts": len(prompts), "pairs": len(made), **left_out})
    if not found:
        raise InputError(
            f"no prompt gives a pair: {options.model} refuses all of them by itself, or writes no whole sentence in "
            f"{options.writing.max_new_tokens} tokens"
        )
    random.Random(options.seed).shuffle(found)  # noqa: S311
    hashes = [combined_hash(model.base.hashes), *map(combined_hash, model.adapter_hashes)]
    record = {"settings": config(options), "model_sha256": hashes, "counts": counts}
    with written(path) as file:
        for pair in found:
            file.write((json.dumps(vars(pair), ensure_ascii=False) + "\n").encode())
    with written(path.with_suffix(RECORD)) as file:
        file.write((json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    return PairsResult(path, pl.DataFrame(counts))


def _check_file(path: Path, options: PairsOptions, *, resume: bool, force: bool) -> dict[str, Any]:
    """The record of a file to keep, {} to make it. Raises InputError if there is another."""
    if path.suffix != ".jsonl":
        raise InputError(f"{path} is written as JSON lines: name a file that ends with .jsonl")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it, or name another file")
    if force or not path.exists():
        return {}
    if not resume:
        raise InputError(f"{path} exists: name another file, or `force` to replace it")
    try:
        record: dict[str, Any] = json.loads(path.with_suffix(RECORD).read_text("utf-8"))
        settings = record["settings"]
    except (OSError, ValueError, KeyError):
        raise InputError(f"{path} has no record of how it was made: name another file, or `force`") from None
    wanted = json.loads(json.dumps(config(options)))
    if keys := sorted(key for key in wanted if settings.get(key) != wanted[key]):
        raise InputError(f"{path} was made with other {', '.join(keys)}: use the same, or `force` to replace it")
    return record


def _read(options: PairsOptions, sources: Sequence[str], progress: ProgressCallback) -> list[RawPrompt]:
    if not sources:
        return []
    wanted = replace(options.prompts, prompts=tuple(sources))
    return read_prompt_sets(wanted, seed=options.seed, progress=progress).prompts


def _answers(
    model: LoadedModel, prompts: Sequence[Prompt], options: PairsOptions, stage: str, progress: ProgressCallback
) -> list[str]:
    """What the model writes, up to its last whole sentence."""
    new = options.writing.max_new_tokens
    lengths = [len(prompt.input_ids) + new for prompt in prompts]
    batches = batch_of_each(lengths, options.writing.batch_size, budget.writing_tokens(model))
    answers = [""] * len(prompts)
    done = 0
    for batch in sorted(set(batches)):
        members = [at for at, number in enumerate(batches) if number == batch]
        for at, completion in zip(
            members, generate(model, [prompts[at].input_ids for at in members], new), strict=True
        ):
            text = str(model.base.tokenizer.decode(list(completion.token_ids), skip_special_tokens=True))
            answers[at] = text.strip() if completion.finish_reason == "stop" else whole_sentences(text)
        done += len(members)
        progress(Progress(stage, done, len(prompts), "prompts"))
    return answers


def whole_sentences(text: str) -> str:
    """A text up to its last sentence end, or line end if it has none; "" if it has neither."""
    text = text.strip()
    ends = (text[: end.end()] for end in reversed(list(_END.finditer(text))))
    return next((whole for whole in ends if not _NUMBERED.search(whole)), text.rpartition("\n")[0].strip())


def _paired(
    prompts: Sequence[RawPrompt], answers: Sequence[str], prefers: str, seed: int
) -> tuple[list[Pair], dict[str, int]]:
    """Pairs, and how many prompts gave none, by reason."""
    refusals = [REFUSALS[at % len(REFUSALS)] for at in range(len(prompts))]
    random.Random(f"{seed} {prefers}").shuffle(refusals)  # noqa: S311
    found, left_out = [], {"refused": 0, "unfinished": 0}
    for prompt, own, refusal in zip(prompts, answers, refusals, strict=True):
        if not own or refuses(own):
            left_out["refused" if own else "unfinished"] += 1
        else:
            chosen, rejected = (refusal, own) if prefers == REFUSE else (own, refusal)
            found.append(Pair(prompt.text, chosen, rejected, prefers))
    return found, left_out
