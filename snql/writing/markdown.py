"""Tables as Markdown: pipes between cells, and text that stays text."""

import re
from collections.abc import Sequence

from snql.writing.layout import Block, Cell, Column
from snql.writing.words import visible

_ENTITIES = {character: f"&#{ord(character)};" for character in "[]$@"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ESCAPED = "\\`*_~|"
_ADDRESS = re.compile(r"(?<=\w):(?=//)|(?<=www)\.", re.IGNORECASE)


def markdown_cell(text: str) -> str:
    """Text as Markdown shows it: no link, image, emphasis, code, formula, cell border or HTML; one line."""
    shown = "".join(
        f"\\{character}" if character in _ESCAPED else _ENTITIES.get(character, character)
        for character in visible(text)
    )
    return _ADDRESS.sub(lambda found: f"&#{ord(found[0])};", shown)


def table(title: str, caption: str, blocks: Sequence[Block]) -> str:
    """A whole Markdown file: title and caption, then one table for each block."""
    parts = [f"**{markdown_cell(title)}.** {markdown_cell(caption)}"]
    for block in blocks:
        parts += [f"**{markdown_cell(block.head)}**"] if block.head else []
        parts.append(_block(block))
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    heads = [markdown_cell(_head(column)) for column in block.columns]
    rules = ["---" if column.kind == "text" else "---:" for column in block.columns]
    lines = [heads, rules]
    for group in block.groups:
        if group.head:
            lines.append([f"**{markdown_cell(group.head)}**", *[""] * (len(heads) - 1)])
        lines += [[_cell(cell) for cell in row] for row in group.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _head(column: Column) -> str:
    above = f"{column.group}: " if column.group else ""
    below = f" ({column.note})" if column.note else ""
    return f"{above}{column.head}{below}"


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    return markdown_cell(cell.replace("\n", " ")) if isinstance(cell, str) else cell.text()
