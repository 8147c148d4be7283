"""Letters that the charts' font lacks: drawn with a font of the system, or said to be missing."""

import shutil
import subprocess

import pytest
import vl_convert

from snql.reporting import fonts
from snql.reporting.build import letters_notes
from snql.reporting.model import RenderedFigure

NOWHERE = "\U0010fff0"
"""A character of private use, which fonts have none of."""


def svg(*texts: str) -> str:
    lines = "".join(
        f'<text x="4" y="{24 * (row + 1)}" font-family="{fonts.FAMILY}" font-size="20">{text}</text>'
        for row, text in enumerate(texts)
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100">{lines}</svg>'


def font_of_the_system(letter: str) -> bool:
    """Whether fontconfig knows a font with this letter."""
    if shutil.which("fc-list") is None:
        pytest.skip("fontconfig is missing: it says which letters the system's fonts have")
    return bool(subprocess.check_output(["fc-list", f":charset={ord(letter):x}"]).strip())


def test_texts_that_can_be_drawn_are_not_named() -> None:
    assert fonts.unreadable(svg("safety", "Übergröße Ж é", "a &lt; b")) == []


def test_texts_with_letters_of_no_font_are_named_once() -> None:
    assert fonts.unreadable(svg(f"a{NOWHERE}", "b", f"a{NOWHERE}", NOWHERE)) == [f"a{NOWHERE}", NOWHERE]


@pytest.mark.parametrize("letter", ["ა", "安", "한", "س"])
def test_letters_are_those_of_the_fonts_that_the_system_has(letter: str) -> None:
    """And where one has them they are drawn: not as what stands for a letter of no font."""
    fonts.register()
    known = font_of_the_system(letter)
    assert fonts.unreadable(svg(letter)) == ([] if known else [letter])
    boxes = vl_convert.svg_to_png(svg(NOWHERE)) == vl_convert.svg_to_png(svg(letter))
    assert boxes == (not known)


def test_the_note_names_the_text_and_its_figures() -> None:
    figures = [
        RenderedFigure("transfer", "", "", (), picture=svg(NOWHERE, "ok")),
        RenderedFigure("layers", "", "", (), picture=svg("ok")),
        RenderedFigure("tax", "", "", (), picture=svg(NOWHERE)),
        RenderedFigure("judges", "", "", (), skipped="nothing"),
    ]
    (note,) = letters_notes(figures)
    assert note.startswith("no font here has all letters of '")
    assert "(transfer, tax): PNG and PDF show boxes" in note
    assert letters_notes(figures[1:2]) == []
