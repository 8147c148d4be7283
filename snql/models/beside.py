"""What training programs put beside an adapter: a tokenizer, with a chat template and an end token of its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from snql.models.adapters import Adapter


@dataclass(frozen=True)
class BroughtAlong:
    """What differs from the base's tokenizer: token ids that end a completion too, and what must be said."""

    end_ids: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()


def brought_along(adapter: Adapter, tokenizer: PreTrainedTokenizerBase) -> BroughtAlong:
    """Compare the tokenizer files beside an adapter with the base's tokenizer, which is the one that is used."""
    folder = adapter.files.place
    settings = _settings(folder / "tokenizer_config.json")
    notes = []
    if (different := _other_ids(folder / "tokenizer.json", tokenizer)) is not None:
        notes.append(
            f"{adapter} was saved with another vocabulary than its base's ({different}): the base's token ids are "
            "used; merge the adapter into a checkpoint with its tokenizer if it was trained on other ids"
        )
    source, template = saved_template(folder)
    if template is not None and template != tokenizer.chat_template:
        notes.append(
            f"{adapter} was saved with another chat template than its base's, which is used only where it is named: "
            f"`template` {source} puts prompts into it"
        )
    end = settings.get("eos_token")
    end = end.get("content") if isinstance(end, dict) else end
    if not isinstance(end, str) or end == tokenizer.eos_token:
        return BroughtAlong(notes=tuple(notes))
    token = tokenizer.get_vocab().get(end)
    if token is None:
        notes.append(f"{adapter} was saved with the end token {end!r}, which its base's vocabulary does not have")
        return BroughtAlong(notes=tuple(notes))
    notes.append(f"{adapter} was saved with the end token {end!r}: completions end at it, too")
    return BroughtAlong(frozenset({token}), tuple(notes))


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def saved_template(folder: Path) -> tuple[Path, str | None]:
    """The chat template beside an adapter, if it was saved with one, and the file that has it."""
    settings = _settings(folder / "tokenizer_config.json")
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file, file.read_text("utf-8", errors="replace")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several by name
        named = {each.get("name"): each.get("template") for each in template if isinstance(each, dict)}
        template = named.get("default")
    return folder / "tokenizer_config.json", template if isinstance(template, str) else None


def _other_ids(path: Path, tokenizer: PreTrainedTokenizerBase) -> str | None:
    if not path.is_file():
        return None
    try:
        own = Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=True)
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        return f"its tokenizer.json does not load: {' '.join(str(error).split())}"
    base = tokenizer.get_vocab()
    other = min((token for token in own.keys() | base.keys() if own.get(token) != base.get(token)), default=None)
    return None if other is None else f"{other!r} is token {own.get(other, 'none')} and {base.get(other, 'none')}"
