"""From a prompt to the exact text and token ids that a model is given."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from snql.errors import InputError
from snql.prompts import dialogue
from snql.prompts.options import PromptOptions
from snql.prompts.types import Prompt, RawPrompt, Turn

TEMPLATES = ("auto", "chat", "tulu", "plain")
"""``chat`` is the tokenizer's own template; ``auto`` is chat if the tokenizer has one and plain otherwise."""

_FILE = ".jinja"


def resolve_template(name: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """What ``auto`` stands for; raises InputError for an unknown template, or chat without one."""
    if name.endswith(_FILE):
        return name
    if name not in TEMPLATES:
        raise InputError(f"`template` {name!r} is not known: use {', '.join(TEMPLATES)}, or the path of a {_FILE} file")
    has_template = tokenizer.chat_template is not None
    if name == "chat" and not has_template:
        raise InputError("`template` chat: the tokenizer has no chat template; use `template` plain or tulu")
    return ("chat" if has_template else "plain") if name == "auto" else name


@dataclass(frozen=True)
class Formatter:
    """Puts prompts into the words and tokens of one model.

    template: chat, tulu or plain; chat_template: the text of a template file that replaces the tokenizer's own.
    """

    tokenizer: PreTrainedTokenizerBase
    template: str
    chat_template: str | None = None
    system: str | None = None
    response_prefix: str = ""

    @classmethod
    def of(cls, options: PromptOptions, tokenizer: PreTrainedTokenizerBase) -> "Formatter":
        """As the options say; raises InputError for an unknown template or a template file that cannot be read."""
        template = resolve_template(options.template, tokenizer)
        chat_template = _read(template) if template.endswith(_FILE) else None
        kind = "chat" if chat_template is not None else template
        return cls(tokenizer, kind, chat_template, options.system, options.response_prefix or "")

    def format(self, prompt: RawPrompt) -> Prompt:
        """The prompt with its text and token ids; the response prefix is the end of both.

        Raises InputError if the template refuses the prompt, leaves the system text out, or gives no tokens.
        """
        text = self._apply(self._turns(prompt), prompt) + self.response_prefix
        # A chat template writes the special tokens itself. Not verbose: jobs check the length by the model's context.
        ids = self.tokenizer(text, add_special_tokens=self.template != "chat", verbose=False).input_ids
        if not ids:
            raise InputError(f"prompt {prompt.text[:40]!r} of {prompt.dataset} becomes no tokens: remove it")
        return Prompt(**vars(prompt), formatted=text, input_ids=tuple(ids))

    def answer(self, prompt: RawPrompt, text: str) -> str:
        """What follows the formatted prompt where ``text`` is the answer to it, with the end-of-sequence token.

        ``plain`` has a line break between a prompt and its answer, and a blank after a dialogue's marker.
        """
        end = self.tokenizer.eos_token or ""
        if self.template == "plain":
            return (" " if prompt.turns else "\n") + text.strip() + end
        if self.template == "tulu":
            return text.strip() + end
        turns = (*self._turns(prompt), Turn("assistant", text.strip()))
        asked, whole = self._apply(turns[:-1], prompt), self._rendered(turns, prompt, add_generation_prompt=False)
        answer = whole.removeprefix(asked).rstrip() if whole.startswith(asked) else text.strip()
        return answer if answer.endswith(tuple(self.tokenizer.all_special_tokens)) else answer + end

    def _turns(self, prompt: RawPrompt) -> tuple[Turn, ...]:
        if self.system is None:
            return prompt.messages
        return (Turn("system", self.system), *(turn for turn in prompt.messages if turn.role != "system"))

    def _apply(self, turns: tuple[Turn, ...], prompt: RawPrompt) -> str:
        if self.template == "plain":
            return _plain(turns, prompt)
        if self.template == "tulu":
            return "".join(self._tulu(turn) for turn in turns) + "<|assistant|>\n"
        text = self._rendered(turns, prompt, add_generation_prompt=True)
        if self.system is not None and self.system.strip() not in text:
            raise InputError("`system`: the chat template leaves the system text out; use another `template`")
        return text

    def _rendered(self, turns: tuple[Turn, ...], prompt: RawPrompt, *, add_generation_prompt: bool) -> str:
        """Turns through the chat template."""
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            text = self.tokenizer.apply_chat_template(
                messages,
                chat_template=self.chat_template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        except (TemplateError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"`template`: the chat template fails on prompt {prompt.text[:40]!r} of {prompt.dataset} ({reason}): "
                "use another `template`, or leave out `system`"
            ) from error
        return str(text)

    def _tulu(self, turn: Turn) -> str:
        """One turn; an answer ends with the end-of-sequence token, as in the data that such models were tuned on."""
        end = self.tokenizer.eos_token or "" if turn.role == "assistant" else ""
        return f"<|{turn.role}|>\n{turn.content.strip()}{end}\n"


def format_prompts(prompts: Iterable[RawPrompt], formatter: Formatter) -> list[Prompt]:
    """Format each prompt; raises InputError like :meth:`Formatter.format`."""
    return [formatter.format(prompt) for prompt in prompts]


def _plain(turns: tuple[Turn, ...], prompt: RawPrompt) -> str:
    """The bare prompt, after the system text if there is one; a dialogue as marked text that the next answer ends."""
    if len(turns) == 1:
        return prompt.text
    if len(turns) == 2 and not prompt.turns:
        return f"{turns[0].content}\n\n{prompt.text}"
    return f"{dialogue.as_text(turns)}\n\nAssistant:"


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`template` {path} cannot be read: check that it is a UTF-8 text file") from error
