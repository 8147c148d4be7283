"""Tables as Markdown: pipes between cells, and text that stays text."""

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from snql.writing.inert import markdown as inert
from snql.writing.layout import Block, Cell, Column
from snql.writing.rows import Source
from snql.writing.values import exact


def write(source: Source, sink: BinaryIO) -> None:
    """Write the rows, exactly."""
    found = source.rows()
    cells = ([exact(value) for value in row] for row in found.values)
    sink.writelines(f"{line}\n".encode() for line in lines(found.columns, found.numeric, cells))


def lines(heads: Sequence[str], numeric: Sequence[bool], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of one table, columns of numbers to the right."""
    yield _line(map(inert, heads))
    yield _line("---:" if right else "---" for right in numeric)
    for row in rows:
        yield _line(map(inert, row))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def document(title: str, caption: str, blocks: Sequence[Block]) -> str:
    """A whole Markdown file: title and caption, then one table for each block."""
    parts = [f"{_strong(title + '.')} {inert(caption)}"]
    for block in blocks:
        parts += [_strong(block.head)] if block.head else []
        parts.append("\n".join(_block(block)))
    return "\n\n".join(parts) + "\n"


def _strong(text: str) -> str:
    return f"**{inert(text)}**"


def _block(block: Block) -> Iterator[str]:
    numeric = [column.kind != "text" for column in block.columns]
    yield from lines([_head(column) for column in block.columns], numeric, ())
    for group in block.groups:
        if group.head:
            yield _line([_strong(group.head), *[""] * (len(numeric) - 1)])
        yield from (_line(map(_cell, row)) for row in group.rows)


def _head(column: Column) -> str:
    above = f"{column.group}: " if column.group else ""
    below = f" ({column.note})" if column.note else ""
    return f"{above}{column.head}{below}"


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    return inert(cell.replace("\n", " ")) if isinstance(cell, str) else cell.text()
