r"""What puts figures into a paper: LaTeX snippets, captions as plain text, and a document that shows everything."""

from collections.abc import Sequence
from pathlib import Path

from snql.reporting.model import RenderedFigure, RenderedTable
from snql.writing import inert
from snql.writing.inert import LATEX_OTHER, visible
from snql.writing.latex import bounded, breaking

DOCUMENT = "report.tex"
_INCLUDED = ("pdf", "png")
_NEEDS = r"""
% Needs \usepackage{graphicx}. The chart keeps its size, and so its type, unless it is higher than a page. Use figure*
% for one that is as wide as the page in a text of two columns. Letters beyond Latin need LuaLaTeX or XeLaTeX.
"""
_DOCUMENT = r"""
% All figures and tables of the report, each included as a paper would: run pdflatex twice in this folder.
\ifdefined\pdfminorversion\pdfminorversion=7\fi
\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{lmodern}
\usepackage[a4paper, textwidth=WIDTHmm, textheight=262mm]{geometry}
\usepackage[font=small]{caption}
\usepackage{graphicx}
\usepackage{booktabs}
\usepackage{longtable}
\usepackage{siunitx}
\begin{document}
\listoffigures
\listoftables
\clearpage
"""


def figure(folder: Path, name: str, title: str, caption: str, formats: Sequence[str]) -> tuple[Path, ...]:
    """Write ``NAME.caption.txt``, and ``NAME.tex`` if there is a format that LaTeX includes; return them."""
    text = folder / f"{name}.caption.txt"
    text.write_text(f"{visible(title)}. {visible(caption)}\n", "utf-8", newline="\n")
    included = [extension for extension in _INCLUDED if extension in formats]
    if not included:
        return (text,)
    snippet = folder / f"{name}.tex"
    words = bounded(caption, f"The full caption is in {name}.caption.txt.")
    filled = (
        f"% {visible(title)}{_NEEDS}{LATEX_OTHER}\n"
        "\\begin{figure}[tbp]\n\\centering\\emergencystretch=3em\n"
        f"\\sbox0{{\\includegraphics{{{name}.{included[0]}}}}}%\n"
        "\\ifdim\\ht0>.7\\textheight\\resizebox{!}{.7\\textheight}{\\usebox0}\\else\\usebox0\\fi\n"
        f"\\caption[{inert.latex(title)}]{{{inert.latex(title)}. {breaking(words)}}}\n"
        f"\\label{{fig:{name}}}\n\\end{{figure}}\n"
    )
    snippet.write_text(filled, "utf-8", newline="\n")
    return (text, snippet)


def document(
    folder: Path, figures: Sequence[RenderedFigure], tables: Sequence[RenderedTable], millimetres: float = 170
) -> Path:
    """Write a document with all snippets and tables, its text at least ``millimetres`` wide; return its path."""
    files = [path for figure in figures for path in figure.files] + [path for table in tables for path in table.files]
    names = [path.stem for path in files if path.suffix == ".tex"]
    inputs = "".join(f"\\input{{{name}}}\n\\clearpage\n" for name in names)
    path = folder / DOCUMENT
    start = _DOCUMENT.lstrip().replace("WIDTH", f"{max(170.0, millimetres):g}")
    path.write_text(f"{start}{inputs}\\end{{document}}\n", "utf-8", newline="\n")
    return path
