"""Templates and style sheets of HTML pages. All that is put into a template is made inert unless it is Markup."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from snql.writing.inert import html


@cache
def asset(name: str) -> Markup:
    """One file of the assets, as it is."""
    return Markup(_source(name))  # noqa: S704  (a shipped file, no user text)


@cache
def template(name: str) -> Any:
    """One page template."""
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        finalize=_inert,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def _inert(value: object) -> Markup:
    """What stands for a value in a page: nothing for None."""
    if value is None:
        return Markup()
    return value if isinstance(value, Markup) else html(str(value))


def _source(name: str) -> str:
    return files("snql").joinpath("reporting", "assets", name).read_text("utf-8")
