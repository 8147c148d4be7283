"""From a prompt to the exact text and token ids that a model is given."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from snql.errors import InputError
from snql.progress import ProgressCallback, counted, silent
from snql.prompts import dialogue
from snql.prompts.chat import FILES, ChatTemplate, parse_options, read_template
from snql.prompts.dates import parse_date
from snql.prompts.options import ROLES, TEMPLATES, PromptOptions
from snql.prompts.special import SpecialTokens
from snql.prompts.types import Prompt, RawPrompt, Turn


def resolve_template(name: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """What ``auto`` stands for; raises InputError for an unknown template, or chat without one."""
    if name.endswith(FILES):
        return name
    if name in ROLES:
        raise InputError(f"`template` {name} is the template of the run's model of that role: here is none of it")
    if name not in TEMPLATES:
        raise InputError(
            f"`template` {name!r} is not known: use {', '.join(TEMPLATES)}, a role such as after, or the path of a "
            f"{' or '.join(FILES)} file"
        )
    has_template = tokenizer.chat_template is not None
    if name == "chat" and not has_template:
        raise InputError("`template` chat: the tokenizer has no chat template; use `template` plain or tulu")
    return ("chat" if has_template else "plain") if name == "auto" else name


@dataclass(frozen=True)
class Formatter:
    """Puts prompts into the words and tokens of one model.

    template: chat, tulu or plain; chat: the template of ``chat``. special_tokens: whether those inside a prompt's text
    are special, and not just text. counted: prompts, by what was done to them that is not plain to see.
    """

    tokenizer: PreTrainedTokenizerBase
    template: str
    chat: ChatTemplate | None = None
    system: str | None = None
    response_prefix: str = ""
    special_tokens: bool = False
    counted: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls,
        options: PromptOptions,
        tokenizer: PreTrainedTokenizerBase,
        *,
        day: date | None = None,
        chat_template: str | None = None,
    ) -> "Formatter":
        """As the options say; raises InputError for an unknown template or a template file that cannot be read.

        day: what a template takes for today, unless the options name it. chat_template: in place of what they name.
        """
        template = "chat" if chat_template is not None else resolve_template(options.template, tokenizer)
        text = read_template(template) if template.endswith(FILES) else chat_template
        kind = "chat" if text is not None else template
        if kind != "chat" and (options.template_options or options.template_date):
            raise InputError(
                f"`template_options` and `template_date` are for chat templates: `template` {kind} is none"
            )
        return cls(
            tokenizer=tokenizer,
            template=kind,
            chat=None if kind != "chat" else _chat(options, tokenizer, text, day),
            system=options.system,
            response_prefix=options.response_prefix or "",
            special_tokens=options.prompt_special_tokens,
        )

    def format(self, prompt: RawPrompt) -> Prompt:
        """The prompt with its text and token ids; the response prefix is the end of both.

        Raises InputError if the template refuses the prompt, leaves something out, or gives no tokens, and if special
        tokens in the prompt's text cannot be kept apart from the template's.
        """
        text = self._text(prompt)
        self._check_whole(prompt, text)
        ids = self.ids(text) if self.special_tokens or not self.special_in(prompt) else self._ids_as_text(prompt, text)
        if (bos := self.tokenizer.bos_token_id) is not None and ids[:2] == [bos, bos]:
            self.counted["doubled"] += 1
            text, ids = text.removeprefix(str(self.tokenizer.bos_token)), ids[1:]
        if not ids:
            raise InputError(f"prompt {prompt.text[:40]!r} of {prompt.dataset} becomes no tokens: remove it")
        return Prompt(**vars(prompt), formatted=text, input_ids=tuple(ids))

    def ids(self, text: str) -> list[int]:
        """The token ids of a formatted text: a chat template has written the special tokens, else the tokenizer does.

        What a tokenizer adds after a text would end it, and is left out.
        """
        # Not verbose: jobs check the length by the model's context.
        ids: list[int] = list(self.tokenizer(text, add_special_tokens=self.template != "chat", verbose=False).input_ids)
        _, after = self.added
        return ids[: -len(after)] if after and ids[-len(after) :] == after else ids

    @cached_property
    def added(self) -> tuple[list[int], list[int]]:
        """The ids that the tokenizer adds before a text and after it."""
        if self.template == "chat":
            return [], []
        bare, whole = (list(self.tokenizer("a", add_special_tokens=add).input_ids) for add in (False, True))
        at = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), None)
        return ([], []) if at is None else (whole[:at], whole[at + len(bare) :])

    def special_in(self, prompt: RawPrompt) -> list[str]:
        """The special tokens that are written in the prompt's text."""
        return [text for turn in self.turns(prompt) for text in self.special.within(turn.content)]

    @cached_property
    def special(self) -> SpecialTokens:
        own, chosen = self.tokenizer.chat_template, self.chat.text if self.chat is not None else None
        return SpecialTokens(self.tokenizer, f"{own or ''}{chosen or ''}")

    def answer(self, prompt: RawPrompt, text: str) -> str:
        """What follows the formatted prompt where ``text`` is the answer to it, with the end-of-sequence token.

        ``plain`` has a line break between a prompt and its answer, and a blank after a dialogue's marker.
        """
        end = self.tokenizer.eos_token or ""
        if self.template == "plain":
            return (" " if prompt.turns else "\n") + text.strip() + end
        if self.chat is None:
            return text.strip() + end
        turns = (*self.turns(prompt), Turn("assistant", text.strip()))
        asked = self._applied(turns[:-1], prompt)
        whole = self.chat.render(turns, prompt, add_generation_prompt=False)
        answer = whole.removeprefix(asked).rstrip() if whole.startswith(asked) else text.strip()
        return answer if answer.endswith(tuple(self.tokenizer.all_special_tokens)) else answer + end

    def turns(self, prompt: RawPrompt) -> tuple[Turn, ...]:
        """What is said, with the options' system text."""
        if self.system is None:
            return prompt.messages
        return (Turn("system", self.system), *(turn for turn in prompt.messages if turn.role != "system"))

    def _text(self, prompt: RawPrompt, change: Callable[[str], str] = str) -> str:
        """The formatted prompt, where ``change`` has changed all that is said in it."""
        turns = tuple(Turn(turn.role, change(turn.content)) for turn in self.turns(prompt))
        return self._applied(turns, replace(prompt, text=change(prompt.text))) + self.response_prefix

    def _applied(self, turns: tuple[Turn, ...], prompt: RawPrompt) -> str:
        if self.chat is not None:
            return self._open(self.chat, turns, prompt)
        if self.template == "plain":
            return _plain(turns, prompt)
        return "".join(self._tulu(turn) for turn in turns) + "<|assistant|>\n"

    def _open(self, chat: ChatTemplate, turns: tuple[Turn, ...], prompt: RawPrompt) -> str:
        """The turns in a chat template, without an end of the sequence that it writes after its generation prompt."""
        text, end = chat.render(turns, prompt), self.tokenizer.eos_token
        if not end or not text.endswith(end):
            return text
        opened = text.removesuffix(end)
        if chat.render(turns, prompt, add_generation_prompt=False).removesuffix(end) == opened:
            return text  # it ends the user's turn
        self.counted["ended"] += 1
        return opened

    def _check_whole(self, prompt: RawPrompt, text: str) -> None:
        """Raise InputError if a chat template leaves out what the system or the user says; count lost answers.

        What is said twice, or again within another turn, must be there as often.
        """
        if self.chat is None:
            return
        given = text.removesuffix(self.response_prefix)
        turns = [replace(turn, content=turn.content.strip()) for turn in self.turns(prompt)]
        lost = [turn for turn in turns if turn.role == "assistant" and turn.content not in given]
        self.counted["lost answers"] += bool(lost)
        kept = [turn for turn in turns if turn not in lost]
        for turn in kept:
            least = sum(other.content.count(turn.content) for other in kept) if turn.content else 0
            if turn.role == "assistant" or given.count(turn.content) >= least:
                continue
            if turn.role == "system" and self.system is not None:
                raise InputError("`system`: the chat template leaves the system text out; use another `template`")
            raise InputError(
                f"`template`: the chat template leaves out, or changes, the {turn.role}'s text of prompt "
                f"{prompt.text[:40]!r} of {prompt.dataset}: use another `template`"
            )

    def _ids_as_text(self, prompt: RawPrompt, text: str) -> list[int]:
        """Token ids where the special tokens in the prompt's text are ordinary characters."""
        hidden = self._text(prompt, self.special.hidden)
        words = self._text(prompt, lambda said: self.special.replaced(said, "x"))
        before, _ = self.added
        found = self.special.ids(hidden, words, lambda plain: self.ids(plain)[len(before) :])
        if found is None or self.special.shown(hidden) != text:
            raise InputError(
                f"prompt {prompt.text[:40]!r} of {prompt.dataset} has special tokens in its text, such as "
                f"{self.special_in(prompt)[0]!r}, which this tokenizer cannot give as ordinary text: remove them, or "
                "use `prompt_special_tokens`"
            )
        return [*before, *found]

    def _tulu(self, turn: Turn) -> str:
        """One turn; an answer ends with the end-of-sequence token, as in the data that such models were tuned on."""
        end = self.tokenizer.eos_token or "" if turn.role == "assistant" else ""
        return f"<|{turn.role}|>\n{turn.content.strip()}{end}\n"


def format_prompts(
    prompts: Collection[RawPrompt], formatter: Formatter, progress: ProgressCallback = silent
) -> list[Prompt]:
    """Format each prompt; raises InputError like :meth:`Formatter.format`."""
    return [formatter.format(prompt) for prompt in counted(prompts, progress, "tokenize")]


def _chat(
    options: PromptOptions, tokenizer: PreTrainedTokenizerBase, text: str | None, day: date | None
) -> ChatTemplate:
    chat = ChatTemplate(
        tokenizer=tokenizer,
        text=text,
        options=parse_options(options.template_options),
        day=parse_date(options.template_date) if options.template_date else day or date.today(),
        is_dated=options.template_date is not None,
    )
    chat.check()
    return chat


def _plain(turns: tuple[Turn, ...], prompt: RawPrompt) -> str:
    """The bare prompt, after the system text if there is one; a dialogue as marked text that the next answer ends."""
    if len(turns) == 1:
        return prompt.text
    if len(turns) == 2 and not prompt.turns:
        return f"{turns[0].content}\n\n{prompt.text}"
    return f"{dialogue.as_text(turns)}\n\nAssistant:"
