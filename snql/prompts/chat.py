"""Chat templates: turns as the one text that a model was tuned on, with its variables and its clock."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from snql.errors import InputError
from snql.prompts.rendering import RenderingError, apply_template, variables
from snql.prompts.types import RawPrompt, Turn
from snql.small_files import small_text

FILES = (".jinja", ".json")
"""Endings of files that hold a template: its text, or a tokenizer_config.json with ``chat_template``."""

_CALL = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
_CLOCK = (
    "{%- macro strftime_now(format) -%}{%- if format not in snql_days -%}"
    "{{ raise_exception('it asks for the date in a format that it makes up') }}"
    "{%- endif -%}{{ snql_days[format] }}{%- endmacro -%}{{ '' }}"
)
"""In place of transformers' own clock, for templates get no functions: the day in each format that they name."""

_ELSE = timedelta(days=400)
"""A day that is another in every part of a date."""

_HOUR = time(13, 14, 15, 16)
"""A time that is another than midnight in every part."""

_TIMES = re.compile(r"%[-_^#0]?[HIMSfpXcTRr]")
"""Parts of a format that write the time of day."""

_OWN = ("messages", "add_generation_prompt")
_DATES = ("strftime_now", "date_string")
_DATE_STRING = "%d %b %Y"
"""How Meta's templates write ``date_string``."""


@dataclass(frozen=True)
class ChatTemplate:
    """A tokenizer's own template, or ``text`` in its place. options: its variables. day: what it takes for today.

    is_dated: whether a user has named the day. asked: holds "date" as soon as a text has depended on the day, and
    "time" as soon as one has depended on the time of day.
    """

    tokenizer: PreTrainedTokenizerBase
    text: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    day: date = field(default_factory=date.today)
    is_dated: bool = False
    asked: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Raise InputError for a template that cannot be chosen, and for options that it does not have."""
        if not self._source.strip():
            raise InputError("`template`: the chat template is empty: use another `template`")
        unknown = [name for name in self.options if name not in self.variables or name in _OWN]
        if unknown:
            known = ", ".join(sorted(self.variables - {*_OWN, *_DATES})) or "none"
            raise InputError(f"`template_options` {unknown[0]}: the chat template has no such variable; it has {known}")
        if self.is_dated and not self.variables & set(_DATES):
            raise InputError(f"`template_date` {self.day}: the chat template writes no date; leave it out")

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names that the template takes from outside. Raises InputError if they cannot be found."""
        try:
            return variables(self._source)
        except RenderingError as error:
            raise InputError(
                f"`template`: the chat template cannot be read ({error}): use another `template`"
            ) from error

    @cached_property
    def _source(self) -> str:
        """Raises InputError for a tokenizer with several templates and none of them the one to take."""
        own = self.tokenizer.chat_template
        if self.text is None and isinstance(own, dict) and "default" not in own:
            raise InputError(
                f"the tokenizer has several chat templates ({', '.join(sorted(own))}) and no default: save the one "
                "that is meant as a .jinja file, and give it as `template`"
            )
        return str(self.tokenizer.get_chat_template(self.text))

    def render(
        self,
        turns: Sequence[Turn],
        prompt: RawPrompt,
        *,
        add_generation_prompt: bool = True,
        without: str | None = None,
    ) -> str:
        """Turns as text; ``prompt`` is for messages, ``without`` an option to leave out.

        Raises InputError if the template fails.
        """
        settings = {name: value for name, value in self.options.items() if name != without}
        settings["add_generation_prompt"] = add_generation_prompt
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            text = self._rendered(messages, settings, self.day)
            for name, other in self._others.items():
                if name not in self.asked and self._rendered(messages, settings, other) != text:
                    self.asked.add(name)
        except RenderingError as error:
            if error.line is not None:
                raise InputError(
                    f"`template`: the chat template has a syntax error in line {error.line} ({error}): use another "
                    "`template`"
                ) from error
            raise InputError(
                f"`template`: the chat template fails on prompt {prompt.text[:40]!r} of {prompt.dataset} ({error}): "
                "use another `template`, or leave out `system`"
            ) from error
        return text

    @cached_property
    def _others(self) -> dict[str, date]:
        """Other days and times than the one that the template is given, to see whether it writes them."""
        if "strftime_now" not in self.variables:
            return {}
        times = any(_TIMES.search(layout) for _, layout in _CALL.findall(self._source))
        return {"date": self.day + _ELSE} | ({"time": datetime.combine(self.day, _HOUR)} if times else {})

    def _rendered(self, messages: list[dict[str, str]], settings: dict[str, Any], day: date) -> str:
        template = self.text
        if "strftime_now" in self.variables:
            template = _CLOCK + self._source
            settings = settings | {"snql_days": {layout: day.strftime(layout) for _, layout in _CALL.findall(template)}}
        if self.is_dated and "date_string" in self.variables:
            settings = settings | {"date_string": day.strftime(_DATE_STRING)}
        return apply_template(self.tokenizer, messages, template, settings)


def read_template(path: str) -> str:
    """The template in a file; raises InputError if it cannot be read or has none."""
    text = small_text(Path(path), "`template`")
    if not path.endswith(".json"):
        return text
    try:
        found = json.loads(text).get("chat_template")
    except (ValueError, AttributeError) as error:
        raise InputError(f"`template` {path} is no JSON of a tokenizer: save the template as a .jinja file") from error
    if isinstance(found, list):
        found = {each.get("name"): each.get("template") for each in found}.get("default")
    if not isinstance(found, str):
        raise InputError(f"`template` {path} has no chat_template that is one text: save it as a .jinja file")
    return found


def parse_options(given: Sequence[str]) -> dict[str, Any]:
    """Variables of a template from KEY=VALUE; a value is JSON where it can be. Raises InputError for another shape."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier() or name in found:
            raise InputError(
                f"`template_options` {each!r}: write KEY=VALUE, such as enable_thinking=false, each key once"
            )
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = {"True": True, "False": False, "None": None}.get(value, value)
    return found
