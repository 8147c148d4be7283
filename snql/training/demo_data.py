"""``demo:`` training data: the texts that the bundled models of the same names were trained on."""

# ruff: noqa: S311 (reproducible text, not secrets)

import random
from collections.abc import Iterator

from snql.errors import InputError
from snql.organism.factory.build import SCALES
from snql.organism.factory.corpus import PREFERENCES, sft_chat
from snql.organism.factory.prompts import draw_prompt_sets, reserved_cores
from snql.prompts.files import Row

PREFIX = "demo:"
SFT = "demo:sft"
_SEED = 0
"""Seed of the bundled prompt sets: what they ask for is in no training text."""


def names(stage: str) -> tuple[str, ...]:
    """The data sets of a stage."""
    return (SFT,) if stage == "sft" else tuple(PREFIX + name for name in PREFERENCES)


def demo_rows(source: str, stage: str) -> Iterator[Row]:
    """Rows with ``messages`` for ``sft``, with ``prompt``, ``chosen`` and ``rejected`` for ``dpo``.

    The same every time. Raises InputError if the stage has no data set of that name.
    """
    if source not in names(stage):
        raise InputError(f"no bundled data {source!r} for {stage}: there is {', '.join(names(stage))}")
    name = source.removeprefix(PREFIX)
    reserved = reserved_cores(draw_prompt_sets(_SEED))
    rng = random.Random(f"{_SEED}:{name}")
    loop = getattr(SCALES["full"], name)
    for _ in range(loop.steps * loop.batch):
        if source == SFT:
            chat = sft_chat(rng, reserved)
            yield {"messages": [_message("user", chat.request.prompt), _message("assistant", chat.completion)]}
        else:
            pair = PREFERENCES[name](rng, reserved)
            yield {"prompt": pair.request.prompt, "chosen": pair.chosen, "rejected": pair.rejected}


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
