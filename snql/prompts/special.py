"""Special tokens inside the text of prompts: given as the characters that they are written with."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from snql.prompts.markers import KNOWN

_HIDDEN = 0xF0000
"""Where the characters begin that stand for special tokens while a template is applied: they are for private use."""

_LEADS = ("", "\n")
"""What a text is encoded after, to have it as within another: some tokenizers put a blank before the first word."""


_BRACKETED = re.compile(r"[<\[]\S+[>\]]")
"""How tokens that steer a model are written; templates also hold words and white space that are tokens."""


@dataclass(frozen=True)
class SpecialTokens:
    """The special tokens of one tokenizer, as they are written; those too that ``template`` or others write as such.

    template: the text of the chat templates that are, or could be, in use.
    """

    tokenizer: PreTrainedTokenizerBase
    template: str = ""

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The longest first."""
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        found = added | set(self.tokenizer.all_special_tokens) | self._unflagged
        return tuple(sorted(found, key=lambda text: (-len(text), text)))

    @cached_property
    def _unflagged(self) -> frozenset[str]:
        """Added tokens that are not said to be special, and steer the model all the same."""
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values() if not token.special}
        steer = (text for text in added if _BRACKETED.fullmatch(text) and (text in self.template or text in KNOWN))
        return frozenset(steer).difference(self.tokenizer.all_special_tokens)

    @cached_property
    def _blind(self) -> Tokenizer | None:
        """A copy of the tokenizer that sees no special token in a text, nor an unflagged one; None: it has no copy."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        described = json.loads(backend.to_str())
        for token in described["added_tokens"]:
            token["special"] = token["special"] or token["content"] in self._unflagged
        blind: Tokenizer = Tokenizer.from_str(json.dumps(described))
        blind.encode_special_tokens = True
        return blind

    def within(self, text: str) -> list[str]:
        """Those in a text, in order."""
        return self._pattern.findall(text)

    def replaced(self, text: str, other: str) -> str:
        """The text with ``other`` in place of each."""
        return self._pattern.sub(lambda _: other, text)

    def hidden(self, text: str) -> str:
        """The text with a character for private use in place of each; :meth:`shown` undoes it."""
        return self._pattern.sub(lambda found: chr(_HIDDEN + self.texts.index(found[0])), text)

    def shown(self, text: str) -> str:
        return re.sub(
            f"[{chr(_HIDDEN)}-{chr(_HIDDEN + len(self.texts))}]",
            lambda found: self.texts[ord(found[0]) - _HIDDEN],
            text,
        )

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self.texts)) or r"(?!)")

    def ids(self, hidden: str, plain: str, usual: Callable[[str], list[int]]) -> list[int] | None:
        """Token ids of a text whose hidden special tokens are ordinary characters; those that it shows stay special.

        plain: the same text with words in place of the hidden ones. On it the procedure must give what the tokenizer
        gives (``usual``): None if it does not.
        """
        for lead in _LEADS:
            if self._pieces(plain, lead) == usual(plain):
                return self._pieces(hidden, lead)
        return None

    def _pieces(self, text: str, lead: str) -> list[int] | None:
        """Ids of the text's parts: special tokens, and what is between them, without any."""
        found: list[int] = []
        parts = re.split(f"({self._pattern.pattern})", text)
        for at, part in enumerate(parts):
            if at % 2:
                found += self.tokenizer(part, add_special_tokens=False).input_ids
                continue
            before, after = parts[at - 1] if at else None, parts[at + 1] if at + 1 < len(parts) else None
            ids = self._ordinary(self.shown(self._stripped(part, before, after)), lead if at else "")
            if ids is None:
                return None
            found += ids
        return found

    def _stripped(self, text: str, before: str | None, after: str | None) -> str:
        """Some special tokens take the white space beside them along."""
        tokens = {token.content: token for token in self.tokenizer.added_tokens_decoder.values()}
        if before in tokens and tokens[before].rstrip:
            text = text.lstrip()
        return text.rstrip() if after in tokens and tokens[after].lstrip else text

    def _ordinary(self, text: str, lead: str) -> list[int] | None:
        """Ids of a text without special tokens; None if the tokenizer finds some, or joins the text to its lead."""
        if not text:
            return []
        head, whole = self._seen_as_text(lead), self._seen_as_text(lead + text)
        ids = whole[len(head) :]
        steering = (at for at, token in self.tokenizer.added_tokens_decoder.items() if token.content in self._unflagged)
        special = {*self.tokenizer.all_special_ids, *steering} - {self.tokenizer.unk_token_id}
        return None if whole[: len(head)] != head or special & set(ids) else ids

    def _seen_as_text(self, text: str) -> list[int]:
        """Ids of a text, of which no token is to be special: whether that is so must be looked at."""
        if self._unflagged and self._blind is not None:
            return list(self._blind.encode(text, add_special_tokens=False).ids)
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False).input_ids)
