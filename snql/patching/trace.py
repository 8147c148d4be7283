"""What the patched model would have written without its patch, at each step of a finished text."""

from collections import deque
from collections.abc import Sequence
from functools import partial

import torch

from snql.errors import RunError
from snql.generation.batch import by_tokens, left_padded
from snql.generation.budget import choosing_tokens
from snql.generation.memory import fits
from snql.generation.sampling import choose, random_numbers
from snql.models.loaded import LoadedModel
from snql.patching.rows import Writing, Written


@torch.inference_mode()
def unpatched_choices(model: LoadedModel, written: Sequence[Written], writing: Writing) -> list[tuple[int, ...]]:
    """The unpatched model's choice at each step of each completion, given the text up to there.

    Where it wrote the same text in the same batch they are known; the other texts are read once more, each once.
    """
    found = {index: item.target_ids for index, item in enumerate(written) if _known(item)}
    same: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
    for index, item in enumerate(written):
        if index not in found:
            key = item.task.prompt_id, item.task.sample, item.completion.token_ids
            same.setdefault(key, []).append(index)
    groups = list(same.values())
    texts = [_text(written[group[0]]) for group in groups]
    waiting = deque(by_tokens([len(text) for text in texts], choosing_tokens(model)))
    while waiting:
        batch = waiting.popleft()
        items = [written[groups[place][0]] for place in batch]
        asked = [texts[place] for place in batch]
        read: list[tuple[int, ...]] = []
        choose_all = partial(_choices, model, asked, items, writing)
        if fits(lambda read=read, choose_all=choose_all: read.extend(choose_all())):  # type: ignore[misc]
            for place, choices in zip(batch, read, strict=True):
                found |= dict.fromkeys(groups[place], choices)
        elif len(batch) == 1:
            raise RunError("out of memory reading one completion: use `trace=False`, or `dtype` or `quantize`")
        else:
            waiting.extendleft((batch[len(batch) // 2 :], batch[: len(batch) // 2]))
    return [found[index] for index in range(len(written))]


def _known(item: Written) -> bool:
    return len(item.target_ids) == len(item.completion.token_ids)


def _text(item: Written) -> tuple[int, ...]:
    """What is read: all but the last token, whose successor nobody wrote."""
    return item.task.input_ids + item.completion.token_ids[:-1]


def _choices(
    model: LoadedModel, texts: Sequence[tuple[int, ...]], items: Sequence[Written], writing: Writing
) -> list[tuple[int, ...]]:
    lengths = [len(item.completion.token_ids) for item in items]
    batch = left_padded(texts, model.base.pad_id, model.base.device)
    kept = max(lengths)
    logits = model.logits(batch.ids, batch.mask, batch.positions, keep=kept)
    found = []
    for row, (item, length) in enumerate(zip(items, lengths, strict=True)):
        numbers = [0.0] * length
        if not writing.sampling.greedy:
            drawn = random_numbers(writing.seed, item.task.key, item.task.sample, writing.max_new_tokens)
            numbers = drawn[:length].tolist()
        texts = [item.task.input_ids + item.completion.token_ids[:step] for step in range(length)]
        own = logits[row, kept - length :]
        found.append(tuple(choose(writing.sampling, own, range(length), numbers, writing.rules.repetition, texts)))
    return found
