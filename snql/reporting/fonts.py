"""The font of all charts: registered with the renderer, measured for line breaks, embedded in SVG files.

Charts look the same on every machine because the font comes with snql (Source Sans Pro, SIL Open Font License), not
from the system.
"""

import base64
import io
import re
import shutil
from functools import cache
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory

import font_source_sans_pro
import vl_convert
from fontTools import subset
from fontTools.ttLib import TTFont

NAME = "Source Sans Pro"
FAMILY = f"{NAME}, Liberation Sans, Arial, Helvetica, sans-serif"
_FOLDER = Path(font_source_sans_pro.font_directory)
_FILES = {False: _FOLDER / "SourceSansPro-Regular.ttf", True: _FOLDER / "SourceSansPro-Bold.ttf"}
_WEIGHTS = {False: "normal", True: "bold"}
_USUAL = "".join(map(chr, range(0x20, 0x7F))) + "\u2013\u2192\u2212"
_OF_NO_FONT = "\U0010fffd"
"""The last character of private use: what is drawn in place of a letter that no font has."""
_TEXT = re.compile(r"<text\b([^>]*)>([^<]*)</text>")


@cache
def register() -> TemporaryDirectory[str]:
    """Let the renderer know the font; once for the process, which keeps the folder that is returned.

    The package holds each weight twice, as OpenType and as TrueType; the renderer would take either.
    """
    folder = TemporaryDirectory(prefix="snql-fonts-")
    for path in _FILES.values():
        shutil.copy(path, folder.name)
    vl_convert.register_font_directory(folder.name)
    return folder


@cache
def _widths(bold: bool) -> dict[str, float]:
    """The advance of each character in em."""
    font = TTFont(_FILES[bold], lazy=True)
    metrics, units = font["hmtx"], font["head"].unitsPerEm
    return {chr(code): metrics[glyph][0] / units for code, glyph in font.getBestCmap().items()}


def measure(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line of text, in the unit of ``size``; a character that the font lacks counts as 1 em."""
    widths = _widths(bold)
    return size * sum(widths.get(character, 1.0) for character in text)


def wrap(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Text as lines no wider than ``width``, broken at spaces; a word that is wider has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer, size, bold=bold) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def unreadable(svg: str) -> list[str]:
    """Texts of a picture with letters of no font at all, in order, each once: PNG and PDF have boxes in their place.

    Letters that the charts' own font lacks are drawn with a font of the system that has them.
    """
    texts = dict.fromkeys(unescape(text) for _, text in _TEXT.findall(svg))
    return [text for text in texts if any(each not in _widths(False) and not _drawn(each) for each in text)]


@cache
def _drawn(character: str) -> bool:
    return _image(character) != _image(_OF_NO_FONT)


def _image(character: str) -> bytes:
    register()
    text = f'<text x="4" y="24" font-family="{FAMILY}" font-size="20">&#{ord(character)};</text>'
    return bytes(vl_convert.svg_to_png(f'<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32">{text}</svg>'))


def embedded(svg: str) -> str:
    """The SVG with the font inside: of each weight in use the characters it draws, and the usual ones.

    So most pictures share their subsets, which take longest.
    """
    used: dict[bool, set[str]] = {}
    for attributes, text in _TEXT.findall(svg):
        used.setdefault('font-weight="bold"' in attributes, set(_USUAL)).update(unescape(text))
    faces = "".join(_face(bold, characters) for bold, characters in sorted(used.items()))
    head, end, body = svg.partition(">")
    return f"{head}{end}<style>{faces}</style>{body}" if faces else svg


@cache
def faces() -> str:
    """Rules of style for a page that is set in the charts' font: with all letters of Western languages."""
    letters = {chr(code) for code in (*range(0x20, 0x180), *range(0x2010, 0x2040), 0x2192, 0x2212)}
    return "".join(_face(bold, letters) for bold in (False, True))


def _face(bold: bool, characters: set[str]) -> str:
    data = base64.b64encode(_subset(bold, "".join(sorted(characters)))).decode()
    source = f"url(data:font/woff;base64,{data})"
    return f'@font-face{{font-family:"{NAME}";font-weight:{_WEIGHTS[bold]};src:{source} format("woff")}}'


@cache
def _subset(bold: bool, characters: str) -> bytes:
    """A WOFF file of these characters; equal characters give equal bytes."""
    options = subset.Options(flavor="woff", hinting=False, recalc_timestamp=False, notdef_outline=True)
    font = subset.load_font(str(_FILES[bold]), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters)
    subsetter.subset(font)
    buffer = io.BytesIO()
    subset.save_font(font, buffer, options)
    return buffer.getvalue()
