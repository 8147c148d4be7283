"""What ``snql shell`` runs, at its prompt and from a pipe: statements and dot commands."""

import sys
from itertools import islice
from typing import TYPE_CHECKING

from snql.errors import InputError, SnqlError

from .interrupts import WATCH
from .render import MAX_ROWS, note, plain, print_cells, print_table
from .runs import listed
from .state import State

if TYPE_CHECKING:
    import polars as pl

    from snql.querying.execute import Result

HELP = """\
Write SQL and end it with ; and Enter. Tab completes tables, columns, macros, words, and within '' the names of runs.
  .tables        views, tables and macros        .schema NAME   columns of one of them
  .runs          the runs of the database        .mode FORMAT   table, csv, tsv, json, jsonl, markdown or latex
  .help          this text                       .quit          leave (or Ctrl-D)
Ctrl-C stops a statement. The file is open only while one runs, so jobs can write meanwhile.
"""
MODES = ("table", "csv", "tsv", "json", "jsonl", "markdown", "latex")


class Session:
    """Runs statements and dot commands, and shows what they give."""

    def __init__(self, here: State) -> None:
        self._here = here
        self._db = here.open()
        self._mode = "json" if here.json else "table"
        self.ended = False

    def run(self, text: str) -> None:
        """Run every statement and command of a text; the first error ends it. Raises SnqlError, KeyboardInterrupt."""
        from snql.querying.suggest import split

        done, rest = split(text)
        for each in [*done, rest] if rest else done:
            if self.ended:
                return
            if each.startswith("."):
                self._command(*each.split())
            else:
                self._statement(each)

    def enter(self, text: str) -> None:
        """Run what was entered at the prompt: an error is one line, and the session goes on."""
        try:
            self.run(text)
        except SnqlError as error:
            sys.stderr.write(f"snql: {plain(self._here.flagged(str(error)))}\n")
        except KeyboardInterrupt:
            WATCH.answered()
            sys.stderr.write("stopped\n")

    def _statement(self, sql: str) -> None:
        from snql.querying.execute import run

        run(self._db, sql, self._print if self._mode == "table" else self._write)

    def _print(self, result: "Result") -> None:
        found = result.rows()
        shown = list(islice(found.values, MAX_ROWS))
        if not found.columns:
            return
        hidden = print_cells(found.columns, found.numeric, shown)
        if next(found.values, None) is not None:
            note(f"the first {MAX_ROWS} rows; there are more: .mode csv shows all", quiet=self._here.quiet)
        if hidden:
            note(f"too wide for {len(hidden)} more columns: select fewer, or use another .mode", quiet=self._here.quiet)

    def _write(self, result: "Result") -> None:
        from snql.writing.formats import write

        sys.stdout.flush()
        write(result, self._mode, sys.stdout.buffer)
        sys.stdout.buffer.flush()

    def _show(self, frame: "pl.DataFrame") -> None:
        from snql.writing.formats import render

        if self._mode == "table":
            print_table(frame, quiet=True)
        else:
            sys.stdout.write(render(frame, self._mode).decode())
            sys.stdout.flush()

    def _command(self, command: str, *arguments: str) -> None:
        from snql.querying.shell import describe, list_tables

        match command, arguments:
            case ".quit" | ".exit", ():
                self.ended = True
            case ".help", ():
                sys.stdout.write(HELP)
            case ".tables", ():
                self._show(list_tables(self._db))
            case ".runs", ():
                self._show(listed(self._here))
            case ".schema", (name,):
                self._show(describe(self._db, name))
            case ".mode", (name,) if name in MODES:
                self._mode = name
            case ".mode", _:
                raise InputError(f".mode needs one of {', '.join(MODES)}; it is {self._mode}")
            case _:
                raise InputError(f"{' '.join((command, *arguments))!r} is no command: .help lists them")
