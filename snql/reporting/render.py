"""Charts as files: the same bytes for the same data, and nothing fetched from a network."""

import base64
import hashlib
import json
import re
from functools import cache
from typing import Any

import vl_convert
from markupsafe import Markup

from snql.errors import InputError
from snql.pages import asset, template
from snql.reporting.interactive import interactive
from snql.reporting.model import Chart
from snql.reporting.pdf import canonical

FORMATS = ("svg", "pdf", "png", "html", "json")
PNG_PPI = 300
_SVG_TAG = re.compile(r"<[^<>]*>")
_SVG_NAME = re.compile(r'<[^<>]* id="((?:clip|gradient_)\d+)"')
_SVG_USE = re.compile(r"""( id="|url\(#)((?:clip|gradient_)\d+)("|\))""")


def check_formats(formats: tuple[str, ...]) -> None:
    """Raise InputError if a format is unknown or none is given."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise InputError(f"unknown format {unknown[0]!r}: choose from {', '.join(FORMATS)}")
    if not formats:
        raise InputError(f"no format given: choose from {', '.join(FORMATS)}")


def spec(chart: Chart) -> dict[str, Any]:
    """The chart's Vega-Lite specification, with its data inside."""
    specification: dict[str, Any] = chart.to_dict()
    return specification


def rendered(specification: dict[str, Any], extension: str, title: str) -> bytes:
    """One chart in one of ``FORMATS``; ``title`` is the page title of html."""
    if extension == "json":
        return (json.dumps(specification, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    if extension == "html":
        page: str = template("figure.html.j2").render(
            policy=policy(asset("charts.js")),
            title=title,
            chart=script_json(interactive(specification)),
            library=library(),
            start=asset("charts.js"),
        )
        return page.encode()
    if extension == "svg":
        return svg(specification).encode()
    if extension == "pdf":
        return canonical(vl_convert.vegalite_to_pdf(specification, allowed_base_urls=[]))
    png = vl_convert.vegalite_to_png(specification, ppi=PNG_PPI, allowed_base_urls=[])
    return bytes(png)


def svg(specification: dict[str, Any]) -> str:
    """The chart as SVG text, its clips and gradients numbered from 1.

    Vega numbers them through the life of the process, so that a second chart would get other names.
    """
    drawn: str = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    names = dict.fromkeys(_SVG_NAME.findall(drawn))
    numbered = {name: f"{name.rstrip('0123456789')}{number}" for number, name in enumerate(names, start=1)}

    def renamed(tag: re.Match[str]) -> str:
        return _SVG_USE.sub(lambda use: use[1] + numbered.get(use[2], use[2]) + use[3], tag[0])

    return _SVG_TAG.sub(renamed, drawn)


def script_json(value: object) -> Markup:
    """JSON that can stand inside a script element: no ``</script`` or ``<!--`` in it, whatever the text."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  (every character that HTML could act on was escaped above)


@cache
def library() -> Markup:
    """Vega, Vega-Lite and Vega-Embed as one script, from vl-convert's own copy."""
    # The stub does not know that the snippet may be left out.
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    # Only text inside string literals can match; the escape leaves the strings' values as they are.
    safe = bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return Markup(safe)  # noqa: S704  (a shipped library, no user text)


@cache
def policy(script: Markup) -> Markup:
    """The content security policy of a page: nothing from a network, no scripts but the library and this one.

    Nothing makes code of text either: charts are drawn with Vega's interpreter of expressions.
    """
    digests = [hashlib.sha256(allowed.encode()).digest() for allowed in (library(), script)]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    rest = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    return Markup(f"default-src 'none'; script-src {hashes}; {rest}")  # noqa: S704  (hashes only)
