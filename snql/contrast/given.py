"""The text that both models read where it is given, and not written: a completion of each prompt, as token ids."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.errors import InputError
from snql.generation.types import Completion
from snql.prompts.completions import Followed, files_of, read_completions
from snql.prompts.template import Formatter
from snql.prompts.types import Prompt


@dataclass(frozen=True)
class GivenTexts:
    """A text and its tokens for each prompt, in the order of the prompts, and what is to be said of them."""

    texts: tuple[tuple[str, Completion], ...]
    notes: tuple[str, ...]


def source_hash(source: str) -> str:
    """SHA-256 of the files that a source names."""
    found = hashlib.sha256()
    for path in files_of(source)[0]:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def given_texts(
    db: Database, options: LocateOptions, source: str, prompts: Sequence[Prompt], formatter: Formatter
) -> GivenTexts:
    """What the source says follows each prompt, cut at ``max_new_tokens``.

    A text is what comes after the formatted prompt, as it is written. Raises InputError if a prompt has none or two.
    """
    followed = _by_prompt(source, _resolved(db, source, read_completions(source, options.prompts.prompt_column)))
    if lacking := [prompt for prompt in prompts if prompt.sha256 not in followed]:
        raise InputError(
            f"`completions` {source} has no completion of {len(lacking)} of {len(prompts)} prompts, the first "
            f"{lacking[0].text[:40]!r} of {lacking[0].dataset}: add it, or leave the prompt out (`where`, `limit`)"
        )
    most = options.writing.max_new_tokens
    made = [_encoded(followed[prompt.sha256], prompt, formatter) for prompt in prompts]
    n_cut = sum(len(ids) > most for _, ids in made)
    others = len(followed.keys() - {prompt.sha256 for prompt in prompts})
    notes = [f"`completions` {source}: {n_cut} of {len(made)} are cut after `max_new_tokens` {most}"] if n_cut else []
    if others:
        notes.append(f"`completions` {source}: {others} are of prompts that this run does not read, and are left out")
    texts = tuple((text, Completion(ids[:most], "length" if len(ids) > most else "stop")) for text, ids in made)
    return GivenTexts(texts, tuple(notes))


def check_ids(given: GivenTexts, prompts: Sequence[Prompt], n_embeddings: int) -> None:
    """Raise InputError if a completion has a token that a model lacks."""
    for (_, completion), prompt in zip(given.texts, prompts, strict=True):
        if (token := max(completion.token_ids)) >= n_embeddings:
            raise InputError(
                f"`completions`: that of {prompt.text[:40]!r} has token id {token}, but the models' embeddings end at "
                f"{n_embeddings - 1}: give ids of these models' tokenizer, or texts"
            )


def _resolved(db: Database, source: str, rows: Iterable[Followed]) -> list[tuple[str, Followed]]:
    """Each row with the SHA-256 of its prompt's text; raises InputError for a number that no prompt has."""
    rows = list(rows)
    ids = sorted({row.prompt for row in rows if isinstance(row.prompt, int)})
    known: Mapping[int, str] = {}
    if ids and db.path.exists():
        query = "SELECT prompt_id, sha256 FROM prompts WHERE prompt_id::VARCHAR IN (SELECT unnest(?::VARCHAR[]))"
        known = dict(db.rows(query, [list(map(str, ids))]))
    if unknown := [each for each in ids if each not in known]:
        raise InputError(
            f"`completions` {source}: no prompt has prompt_id {unknown[0]} in {db.path}; use ids of `run_prompts` of a "
            "run that is there, or a column `prompt` with the text"
        )
    return [(known[row.prompt] if isinstance(row.prompt, int) else row.prompt, row) for row in rows]


def _by_prompt(source: str, rows: Sequence[tuple[str, Followed]]) -> dict[str, Followed]:
    found: dict[str, Followed] = {}
    for sha256, row in rows:
        first = found.setdefault(sha256, row)
        if (first.text, first.token_ids) != (row.text, row.token_ids):
            begins = str(row.text if row.text is not None else row.token_ids)[:40]
            raise InputError(
                f"`completions` {source} has two completions of one prompt (one begins {begins!r}): keep one of them"
            )
    return found


def _encoded(row: Followed, prompt: Prompt, formatter: Formatter) -> tuple[str, tuple[int, ...]]:
    """The text and its token ids, those that it has behind the prompt if the prompt's stay what they are."""
    if row.token_ids is not None:
        return str(formatter.tokenizer.decode(list(row.token_ids), skip_special_tokens=True)), row.token_ids
    text = str(row.text)
    whole, n_prompt = formatter.ids(prompt.formatted + text), len(prompt.input_ids)
    if tuple(whole[:n_prompt]) == prompt.input_ids and len(whole) > n_prompt:
        return text, tuple(whole[n_prompt:])
    return text, tuple(formatter.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
