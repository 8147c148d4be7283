"""Size, font and colours of figures: real millimetres, text that every reader has, palettes that survive."""

import base64
import io
import itertools
import re
import struct
from html import unescape

import numpy as np
import numpy.typing as npt
import pytest
from fontTools.ttLib import TTFont
from pypdf import PdfReader

from snql.db import Database
from snql.errors import InputError
from snql.reporting import fonts, render
from snql.reporting.context import Context
from snql.reporting.figures import FIGURES
from snql.reporting.kit.figure import Figure
from snql.reporting.look import THEMES, look
from snql.reporting.sizing import fitted, measured, svg_of

Matrix = npt.NDArray[np.float64]


@pytest.mark.parametrize(("width", "millimetres"), [("column", 85), ("page", 170), ("120", 120), ("254 mm", 254)])
def test_width_in_millimetres(width: str, millimetres: float) -> None:
    assert look("paper", width).width == pytest.approx(millimetres / 25.4 * 72)


@pytest.mark.parametrize(
    ("theme", "width", "message"),
    [
        ("print", "page", r"unknown theme 'print': choose from paper, talk, dark"),
        ("paper", "wide", r"unknown width 'wide': choose column \(85 mm\), page \(170 mm\), or 40 to 1000 millimetres"),
        ("paper", "5", r"unknown width '5'"),
        ("paper", "nan", r"unknown width 'nan'"),
        ("paper", "-85", r"unknown width '-85'"),
    ],
)
def test_unknown_looks(theme: str, width: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        look(theme, width)


MORE = pytest.mark.slow("every eighth figure is looked at always")


@pytest.mark.parametrize(
    ("figure", "theme", "width"),
    [
        pytest.param(figure, *of, marks=[] if number % 8 == 0 else MORE)
        for number, (figure, *of) in enumerate(
            [(figure, "paper", "column") for figure in FIGURES if figure.name not in ("ablation", "guard-comparison")]
            + [(figure, "talk", "254") for figure in FIGURES[:3]]
        )
    ],
)
def test_figures_have_their_width_without_being_scaled(
    database: Database, figure: Figure, theme: str, width: str
) -> None:
    """Rows of the two that are left out are in test_ablation.py and test_filled.py."""
    context = Context(database.frame("SELECT * FROM figure_runs ORDER BY kind, run"))
    frame = database.frame(figure.query)
    style = look(theme, width)
    _, specification, drawn = fitted(lambda style: figure.draw(frame, context, style), style)
    assert specification["background"] == THEMES[theme].paper
    # A chart that cannot shrink to its width is scaled down, fonts too: by 2 % at most.
    assert measured(drawn)[0] <= 1.02 * style.width
    picture = render.picture(drawn, style.width)
    assert measured(picture)[0] == pytest.approx(style.width, abs=0.01)
    svg = render.file_of(picture, "svg").decode()
    (millimetres,) = re.findall(r'<svg[^>]* width="([\d.]+)mm"', svg)
    assert float(millimetres) == pytest.approx(style.width / 72 * 25.4, abs=0.01)
    box = PdfReader(io.BytesIO(render.file_of(picture, "pdf"))).pages[0].mediabox
    assert float(box.width) == pytest.approx(style.width, abs=0.05)
    pixels = struct.unpack(">I", render.file_of(picture, "png")[16:20])[0]
    assert pixels == pytest.approx(style.width / 72 * 300, abs=1)


def test_svg_has_a_font_with_every_character_it_draws(database: Database) -> None:
    figure = FIGURES[0]
    context = Context(database.frame("SELECT * FROM figure_runs ORDER BY kind, run"))
    frame = database.frame(figure.query)
    style = look()
    _, _, drawn = fitted(lambda style: figure.draw(frame, context, style), style)
    svg = render.file_of(render.picture(drawn, style.width), "svg").decode()
    faces = re.findall(r"font-weight:(\w+);src:url\(data:font/woff;base64,([^)]*)\)", svg)
    assert [weight for weight, _ in faces] == ["normal", "bold"]
    for weight, data in faces:
        known = TTFont(io.BytesIO(base64.b64decode(data))).getBestCmap()
        texts = [
            unescape(text)
            for attributes, text in re.findall(r"<text\b([^>]*)>([^<]*)</text>", svg)
            if ("bold" in attributes) == (weight == "bold")
        ]
        characters = {character for text in texts for character in text}
        assert characters and characters <= {chr(code) for code in known}
    assert f'font-family="{fonts.FAMILY}"' in svg


def test_words_are_measured_as_the_renderer_sets_them() -> None:
    text = "Causal effect of 20,000 neurons"
    specification = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"values": [{}]},
        "mark": {"type": "text", "align": "left", "fontSize": 50, "font": fonts.FAMILY},
        "encoding": {"text": {"value": text}},
        "config": {"view": {"stroke": None}},
        "padding": 0,
        "width": 1,
        "height": 1,
    }
    drawn = measured(svg_of(specification))[0]
    assert fonts.measure(text, 50) == pytest.approx(drawn, rel=0.03)


def test_wrapped_lines_fit_and_lose_no_word() -> None:
    text = "Causal effect of the patched neurons, by their number and by supercalifragilistic words"
    lines = fonts.wrap(text, 90, 10, bold=True)
    assert " ".join(lines) == text
    assert len(lines) > 2
    assert all(fonts.measure(line, 10, bold=True) <= 90 for line in lines)
    assert fonts.wrap("supercalifragilistic", 10, 10) == ["supercalifragilistic"]


def linear(colour: str) -> Matrix:
    """Linear-light RGB of a hexadecimal colour (IEC 61966-2-1)."""
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: Matrix) -> Matrix:
    """CIE L*a*b* (D65) of linear-light RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Machado, Oliveira and Fernandes (2009), severity 1.0, in linear light."""


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("theme", THEMES)
def test_series_differ_for_colour_blind_readers(theme: str, deficiency: str) -> None:
    seen = [lab(np.array(DEFICIENCIES[deficiency]) @ linear(colour)) for colour in THEMES[theme].colours[:5]]
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(a - b) > 15


def test_series_differ_in_greyscale() -> None:
    lightness = [lab(linear(colour))[0] for colour in (*THEMES["paper"].colours[:5], THEMES["paper"].paper)]
    for a, b in itertools.combinations(lightness, 2):
        assert abs(a - b) > 10


@pytest.mark.parametrize("theme", THEMES)
def test_text_has_contrast(theme: str) -> None:
    colours = THEMES[theme]

    def luminance(colour: str) -> float:
        return float(np.array([0.2126, 0.7152, 0.0722]) @ linear(colour))

    def contrast(a: str, b: str) -> float:
        high, low = sorted((luminance(a), luminance(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert contrast(colours.ink, colours.paper) > 7
    assert contrast(colours.muted, colours.paper) > 4.5
    assert contrast(colours.control, colours.paper) > 3
    assert contrast(colours.on_fill, colours.ramp[1]) > 4.5
    assert all(contrast(colour, colours.paper) > 3 for colour in colours.colours[:2])
