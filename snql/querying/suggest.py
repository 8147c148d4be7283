"""What can be written next in a statement: names of the database, of its runs, and words of SQL."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from snql.db.connection import Database

COMMANDS = (".help", ".mode", ".quit", ".runs", ".schema", ".tables")
"""Lines of the shell that are not SQL."""

KEYWORDS = (
    *("SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "HAVING", "QUALIFY"),
    *("JOIN", "LEFT JOIN", "SEMI JOIN", "ANTI JOIN", "USING", "ON", "AS"),
    *("AND", "OR", "NOT", "IN", "IS NULL", "IS NOT NULL", "BETWEEN", "LIKE", "ILIKE"),
    *("DISTINCT", "WITH", "UNION ALL", "EXCEPT", "INTERSECT", "CASE", "WHEN", "THEN", "ELSE", "END"),
    *("ASC", "DESC", "NULLS LAST", "OVER", "PARTITION BY", "FILTER", "EXCLUDE", "REPLACE"),
    *("DESCRIBE", "SUMMARIZE", "SHOW", "EXPLAIN", "PIVOT", "UNPIVOT", "SAMPLE", "VALUES", "TRUE", "FALSE", "NULL"),
    *("count(*)", "count", "avg", "sum", "min", "max", "median", "stddev", "corr", "quantile_cont"),
    *("round", "abs", "list", "any_value", "arg_max", "row_number", "rank", "unnest", "coalesce"),
)

_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))|(?P<text>'(?:[^']|'')*(?:'|\Z)|\$\$.*?(?:\$\$|\Z))"
    r'|(?P<name>"(?:[^"]|"")*(?:"|\Z)|\w+)|(?P<other>\S)',
    re.DOTALL,
)
_NAME = re.compile(r"[^\W\d]\w*\Z")
_SOURCES = ("from", "join", "describe", "summarize")
_NOT_ALIASES = frozenset(
    (
        *("where", "group", "order", "limit", "having", "qualify", "select", "from", "as", "sample", "pivot"),
        *("join", "left", "right", "full", "inner", "semi", "anti", "cross", "asof", "using", "on"),
        *("union", "except", "intersect"),
    )
)
"""What can follow a table in a statement and is no other name for it."""


@dataclass(frozen=True)
class Names:
    """What a database has. tables: the columns of every table and view; macros: those that are scalars."""

    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    macros: tuple[str, ...] = ()
    table_macros: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suggestion:
    """A word to write in place of the ``length`` characters before the cursor. kind: column, table, macro, run, …"""

    text: str
    kind: str
    length: int


@dataclass(frozen=True)
class Token:
    """A piece of SQL: a name, a quoted text, a comment, or another character."""

    kind: str
    text: str
    start: int
    end: int


def read_names(db: Database) -> Names:
    """The names that the database has now; raises DatabaseError if it cannot be read."""
    with db.reading():
        columns = db.rows(
            """
            SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns()
            WHERE database_name = current_database() AND NOT internal GROUP BY table_name ORDER BY table_name
            """
        )
        macros = db.rows(
            """
            SELECT DISTINCT function_name, function_type = 'table_macro' FROM duckdb_functions()
            WHERE database_name = current_database() AND NOT internal ORDER BY ALL
            """
        )
        runs = db.rows("SELECT DISTINCT name FROM runs ORDER BY name")
    return Names(
        {table: tuple(names) for table, names in columns},
        tuple(name for name, is_table in macros if not is_table),
        tuple(name for name, is_table in macros if is_table),
        tuple(name for (name,) in runs),
    )


def tokens(sql: str, start: int = 0) -> Iterator[Token]:
    """The pieces of SQL text, spaces left out; a quote that is not closed goes to the end."""
    for match in _TOKEN.finditer(sql, start):
        yield Token(str(match.lastgroup), match.group(), match.start(), match.end())


def split(script: str) -> tuple[list[str], str]:
    """The statements that end with ``;`` and the lines that are commands, and what comes after the last of them.

    What comes after is empty if it is no more than spaces and comments.
    """
    done: list[str] = []
    start = 0
    while (span := _first(script, start)) is not None:
        begin, end = span
        if end is None:
            return done, script[begin:].strip()
        done.append(script[begin:end].strip())
        start = end
    return done, ""


def _first(script: str, start: int) -> tuple[int, int | None] | None:
    """Where the first statement or command from ``start`` on begins and ends, if it does; None if there is none."""
    begin = None
    for token in tokens(script, start):
        if token.text == "." and begin is None:
            line_end = script.find("\n", token.start)
            return token.start, len(script) if line_end < 0 else line_end
        if token.text == ";" and begin is not None:
            return begin, token.end
        if token.kind != "comment" and token.text != ";" and begin is None:
            begin = token.start
    return None if begin is None else (begin, None)


def complete(names: Names, script: str, position: int) -> list[Suggestion]:
    """What can be written at a position of a script, best first; nothing where nothing has been begun.

    Within quotes, names of runs; after FROM and JOIN, tables and table macros; after ``x.``, columns of x; elsewhere
    columns of the statement's tables, then tables, macros, words of SQL and other columns.
    """
    if script.lstrip().startswith("."):
        return _commands(names, script[:position].lstrip())
    statement, position = _statement(script, position)
    before = list(tokens(statement[:position]))
    last = before[-1] if before else None
    if last is not None and last.kind == "text" and _open(last, "'"):
        begun = last.text[1:].replace("''", "'")
        found = ((run.replace("'", "''"), "run") for run in names.runs if run.lower().startswith(begun.lower()))
        return [Suggestion(text, kind, len(last.text) - 1) for text, kind in found]
    if last is None or last.kind in ("text", "comment"):
        return []
    word = last.text if last.kind == "name" and last.end == position else ""
    previous = before[:-1] if word else before
    words = [token.text.lower() for token in previous[-3:]]
    return _ranked(_candidates(names, statement, words, begun=bool(word)), word)


def _candidates(names: Names, statement: str, previous: list[str], *, begun: bool) -> Iterator[tuple[str, str]]:
    """Words with their kinds, whether they fit what was begun or not. previous: the pieces before, in small letters."""
    used = _sources(names, statement)
    if previous[-1:] == ["."]:
        table = used.get(previous[-2].strip('"')) if len(previous) > 1 else None
        yield from ((column, "column") for column in names.tables.get(table or "", ()))
        return
    tables = [*((name, "table") for name in names.tables), *((f"{m}(", "macro") for m in names.table_macros)]
    if previous[-1:] and previous[-1] in _SOURCES:
        yield from tables
        return
    if not begun:
        return
    for table in dict.fromkeys(used.values()):
        yield from ((column, "column") for column in names.tables[table])
    yield from tables
    yield from ((f"{macro}(", "macro") for macro in names.macros)
    yield from ((keyword, "keyword") for keyword in KEYWORDS)
    for columns in names.tables.values():
        yield from ((column, "column") for column in columns)


def _ranked(candidates: Iterable[tuple[str, str]], word: str) -> list[Suggestion]:
    """Those that begin with the word, quoted where they must be, each once and in their order."""
    wanted = word.lower().lstrip('"')
    found: dict[str, Suggestion] = {}
    for text, kind in candidates:
        if text.lower().startswith(wanted) and text.lower() != wanted:
            written = text if kind in ("keyword", "macro") else _written(text)
            found.setdefault(written.lower(), Suggestion(written, kind, len(word)))
    return list(found.values())


def _commands(names: Names, line: str) -> list[Suggestion]:
    command, space, argument = line.partition(" ")
    if not space:
        return [Suggestion(name, "command", len(line)) for name in COMMANDS if name.startswith(line)]
    known = {".schema": (*names.tables, *names.macros, *names.table_macros)}.get(command, ())
    return [Suggestion(name, "table", len(argument)) for name in known if name.startswith(argument)]


def _statement(script: str, position: int) -> tuple[str, int]:
    """The statement around a position, and the position in it."""
    start = 0
    for token in tokens(script):
        if token.text == ";":
            if token.start >= position:
                return script[start : token.start], position - start
            start = token.end
    return script[start:], position - start


def _sources(names: Names, statement: str) -> dict[str, str]:
    """The tables of a statement by the names that it gives them, in small letters."""
    known = {table.lower(): table for table in names.tables}
    words = [token.text.strip('"') for token in tokens(statement) if token.kind != "comment"]
    found: dict[str, str] = {}
    for index, word in enumerate(words[:-1]):
        table = known.get(words[index + 1].lower())
        if word.lower() in (*_SOURCES, ",") and table is not None:
            found[table.lower()] = table
            after = [other.lower() for other in words[index + 2 : index + 4]]
            alias = after[1:] if after[:1] == ["as"] else after[:1]
            if alias and _NAME.match(alias[0]) and alias[0] not in _NOT_ALIASES:
                found[alias[0]] = table
    return found


def _open(token: Token, quote: str) -> bool:
    """Whether a quoted text is not closed."""
    return token.text.startswith(quote) and (len(token.text) == 1 or token.text.count(quote) % 2 == 1)


def _written(name: str) -> str:
    return name if _NAME.match(name) else '"' + name.replace('"', '""') + '"'
