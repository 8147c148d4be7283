"""Charts as files: the same bytes for the same data, and nothing fetched from a network.

One SVG picture is the source of the SVG, PDF and PNG files, so that they agree; its unit is the point.
"""

import base64
import hashlib
import json
import re
from functools import cache
from typing import Any

import vl_convert
from markupsafe import Markup

from snql.errors import InputError
from snql.reporting import fonts
from snql.reporting.look import POINTS_PER_MM, Theme
from snql.reporting.pdf import canonical
from snql.reporting.sizing import measured, resized
from snql.writing.pages import asset, template

FORMATS = ("svg", "pdf", "png", "html", "json")
PICTURES = ("svg", "pdf", "png")
PNG_PPI = 300
_SVG_TAG = re.compile(r"<[^<>]*>")
_SVG_NAME = re.compile(r'<[^<>]* id="((?:clip|gradient_)\d+)"')
_SVG_USE = re.compile(r"""( id="|url\(#)((?:clip|gradient_)\d+)("|\))""")
_SIZE = re.compile(r' width="[^"]*" height="[^"]*"')


def check_formats(formats: tuple[str, ...]) -> None:
    """Raise InputError if a format is unknown or none is given."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise InputError(f"unknown format {unknown[0]!r}: choose from {', '.join(FORMATS)}")
    if not formats:
        raise InputError(f"no format given: choose from {', '.join(FORMATS)}")


def picture(drawn: str, width: float) -> str:
    """What the renderer drew as an SVG picture ``width`` points wide, its clips and gradients numbered from 1.

    Vega numbers them through the life of the process, so that a second chart would get other names.
    """
    sized = resized(drawn, width)
    names = dict.fromkeys(_SVG_NAME.findall(sized))
    numbered = {name: f"{name.rstrip('0123456789')}{number}" for number, name in enumerate(names, start=1)}

    def renamed(tag: re.Match[str]) -> str:
        return _SVG_USE.sub(lambda use: use[1] + numbered.get(use[2], use[2]) + use[3], tag[0])

    return _SVG_TAG.sub(renamed, sized)


def file_of(drawn: str, extension: str) -> bytes:
    """A picture as the content of a file, one of ``PICTURES``: of its real size, fonts embedded."""
    if extension == "svg":
        return fonts.embedded(in_millimetres(drawn)).encode()
    if extension == "pdf":
        return canonical(vl_convert.svg_to_pdf(drawn))
    return bytes(vl_convert.svg_to_png(drawn, ppi=PNG_PPI))


def in_millimetres(drawn: str) -> str:
    """The picture with its size in millimetres, for programs that take a bare number as a 96th of an inch."""
    width, height = (length / POINTS_PER_MM for length in measured(drawn))
    return _SIZE.sub(f' width="{width:.3f}mm" height="{height:.3f}mm"', drawn, count=1)


def specification_file(specification: dict[str, Any]) -> bytes:
    """The Vega-Lite specification, to change and draw again."""
    return (json.dumps(specification, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def page(chart: Markup, title: str, theme: Theme | None = None) -> bytes:
    """One chart as a page to open; in the colours of a theme, or else light or dark as the reader has it."""
    made: str = template("figure.html.j2").render(
        policy=policy(asset("charts.js")),
        title=title,
        style=Markup(fonts.faces()) + asset("page.css") + asset("report.css"),  # noqa: S704  (this package's fonts)
        paper=theme and theme.paper,
        ink=theme and theme.ink,
        chart=chart,
        library=library(),
        start=asset("charts.js"),
    )
    return made.encode()


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
    rest = "style-src 'unsafe-inline'; font-src data:; img-src data: blob:; base-uri 'none'; form-action 'none'"
    return Markup(f"default-src 'none'; script-src {hashes}; {rest}")  # noqa: S704  (hashes only)
