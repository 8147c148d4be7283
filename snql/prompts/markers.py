"""Prompts that a template has been applied to already: what gives them away."""

import re
from collections.abc import Iterable

KNOWN = (
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<|im_start|>",
    "<|im_end|>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
    "<|start_header_id|>",
    "<|eot_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "### Instruction:",
    "### Response:",
    "### Human:",
    "### Assistant:",
    "BEGINNING OF CONVERSATION: USER:",
    "\n\nAssistant:",
    "<|User|>",
    "<|Assistant|>",
    "<|START_OF_TURN_TOKEN|>",
)
"""What well-known templates write around what is said."""

_SHORTEST = 4
_SIGN = re.compile(r"""[^\w\s.,;!?'"()-]""")


def markers_between(rendered: str, said: str, special: Iterable[str]) -> tuple[str, ...]:
    """What a template writes around a text that was ``said``, line by line, and well-known ones.

    special: what may stand at the ends of a line without being a part of it, such as the beginning of a sequence.
    """
    lines = [line.strip() for part in rendered.split(said) for line in part.split("\n")]
    for text in special:
        lines = [line.removeprefix(text).removesuffix(text).strip() for line in lines]
    own = [line for line in lines if len(line) >= _SHORTEST and _SIGN.search(line)]
    return tuple(dict.fromkeys((*own, *KNOWN)))


def first_marker(text: str, markers: Iterable[str]) -> str | None:
    """The first of the markers that is in a text."""
    return next((marker for marker in markers if marker in text), None)
