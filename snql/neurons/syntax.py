"""The grammar of neuron expressions, as text to tree.

expression := term (("|" | "-") term)*          left to right
term       := factor ("&" factor)*              binds tighter
factor     := "(" expression ")" | "all" | "random(" expression "," "seed=" INT ("," HOW)? ")"
            | NEURON ("," NEURON)* | "sql(" SELECT … ")" | RUN ":" AMOUNT | "@" NAME
HOW        := "anywhere" | "match=magnitude" (":" RUN)?
AMOUNT     := 5% | 20000 | 5%..10% | 1000..2000      (a window leaves its lower end out)
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from snql.errors import ExpressionError
from snql.neurons.sets import NEURON

RUN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*")
_MAX_DEPTH = 50
_MOST_OPERATORS = 200
LONGEST = 1 << 16
"""Characters of an expression; a longer one is not read at all."""
_MOST_DIGITS = 15
"""Of a number: no model has neurons, and no ranking ranks, of more; floats hold these exactly."""
RESERVED = frozenset({"all", "random", "sql"})
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_HOW = re.compile(rf"(?P<anywhere>anywhere)|match\s*=\s*(?P<magnitude>magnitude)(?:\s*:\s*(?P<by>{RUN_NAME.pattern}))?")


@dataclass(frozen=True)
class Bound:
    """A place in a ranking: a percentage of the ranked neurons, or a rank."""

    value: float
    percent: bool

    def rank(self, n_ranked: int) -> int:
        """As a number of neurons: percentages are of ``n_ranked``, rounded, at least 1 unless 0."""
        if not self.percent:
            return int(self.value)
        return max(round(self.value / 100 * n_ranked), 1) if self.value > 0 else 0


@dataclass(frozen=True)
class Ranked:
    """``RUN:AMOUNT``: ranks above ``low`` up to ``high`` of a run."""

    run: str
    low: Bound
    high: Bound
    column: int


@dataclass(frozen=True)
class Everything:
    """``all``"""


@dataclass(frozen=True)
class Listed:
    """``L12.N345,L3.E2.N7``: (layer, expert, neuron), expert None where none was written."""

    members: tuple[tuple[int, int | None, int], ...]
    column: int


@dataclass(frozen=True)
class Random:
    """``random(EXPR, seed=N)``: disjoint from EXPR, with as many neurons in each layer unless ``anywhere``.

    magnitude: neurons of like size of activations, too. by: the run that knows these, None for one that EXPR names.
    """

    of: "Node"
    seed: int
    column: int
    anywhere: bool = False
    magnitude: bool = False
    by: str | None = None


@dataclass(frozen=True)
class Named:
    """``@name``: a saved set."""

    name: str
    column: int


@dataclass(frozen=True)
class Sql:
    """``sql(SELECT layer, neuron FROM …)``"""

    query: str
    column: int


@dataclass(frozen=True)
class Combined:
    """``left & right``, ``left | right`` or ``left - right``."""

    operator: str
    left: "Node"
    right: "Node"


Node = Ranked | Everything | Listed | Random | Named | Sql | Combined


def parse(text: str) -> Node:
    """Parse a neuron expression; raises ExpressionError with the column of a mistake."""
    if len(text) > LONGEST:
        raise ExpressionError(f"longer than {LONGEST:,} characters: save a part of it as a set", text, 1)
    parser = _Parser(text)
    node = parser.expression()
    parser.end()
    return node


def runs_named(expressions: Iterable[str]) -> frozenset[str]:
    """The runs that expressions name; of SQL, every string literal, since any may be a run's name."""
    return frozenset().union(*(_runs(parse(text)) for text in expressions))


def runs_ranked(node: Node) -> frozenset[str]:
    """The runs whose rankings an expression uses; of SQL, none."""
    match node:
        case Ranked(run):
            return frozenset({run})
        case Random(of):
            return runs_ranked(of)
        case Combined(_, left, right):
            return runs_ranked(left) | runs_ranked(right)
    return frozenset()


def first_ranked(node: Node) -> str | None:
    """The first run in an expression whose ranking it uses, as it is written."""
    match node:
        case Ranked(run):
            return run
        case Random(of):
            return first_ranked(of)
        case Combined(_, left, right):
            return first_ranked(left) or first_ranked(right)
    return None


def names_used(node: Node) -> frozenset[str]:
    """The saved sets that an expression names."""
    match node:
        case Named(name):
            return frozenset({name})
        case Random(of):
            return names_used(of)
        case Combined(_, left, right):
            return names_used(left) | names_used(right)
    return frozenset()


def _runs(node: Node) -> frozenset[str]:
    match node:
        case Ranked(run):
            return frozenset({run})
        case Random(of, by=by):
            return _runs(of) | ({by} if by else frozenset())
        case Combined(_, left, right):
            return _runs(left) | _runs(right)
        case Sql(query):
            return frozenset(literal.replace("''", "'") for literal in _LITERAL.findall(query))
    return frozenset()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.operators = 0

    def expression(self) -> Node:
        return self._chain("|-", self._term)

    def _term(self) -> Node:
        return self._chain("&", self._factor)

    def _chain(self, operators: str, operand: Callable[[], Node]) -> Node:
        node = operand()
        while (operator := self._peek()) and operator in operators:
            self.operators += 1
            if self.operators > _MOST_OPERATORS:
                raise self._error(f"more than {_MOST_OPERATORS} operators: save a part of it as a set")
            self.at += 1
            node = Combined(operator, node, operand())
        return node

    def end(self) -> None:
        if self._peek():
            raise self._error(f"unexpected {self.text[self.at]!r}; operators are & | -")

    def _factor(self) -> Node:
        next_character = self._peek()
        if not next_character:
            raise self._error("something is missing here: a set such as RUN:5%")
        if next_character == "(":
            self.at += 1
            node = self._inner()
            self._expect(")")
            return node
        if next_character == "@":
            return self._saved()
        if match := NEURON.match(self.text, self.at):
            return self._listed(match)
        return self._named()

    def _inner(self) -> Node:
        """An expression inside a bracket."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} brackets inside each other")
        node = self.expression()
        self.depth -= 1
        return node

    def _number(self, digits: str) -> int:
        if len(digits) > _MOST_DIGITS:
            raise self._error(f"a number of more than {_MOST_DIGITS} digits")
        return int(digits)

    def _named(self) -> Node:
        start = self.at
        match = RUN_NAME.match(self.text, self.at)
        if match is None:
            raise self._error(f"unexpected {self.text[self.at]!r}; write RUN:5%, all, random(…), @name, or L12.N345")
        self.at = match.end()
        name = match.group()
        if name == "all":
            return Everything()
        if name == "random":
            return self._random(start)
        if name == "sql":
            return self._sql(start)
        if self._peek() != ":":
            raise self._error(f"how many neurons of run {name!r}? write {name}:5% or {name}:1000", start)
        self.at += 1
        return self._amount(name, start)

    def _amount(self, run: str, start: int) -> Ranked:
        first = self._bound()
        if not self.text.startswith("..", self.at):
            return Ranked(run, Bound(0, False), first, start + 1)
        self.at += 2
        second = self._bound()
        if first.percent != second.percent or first.value >= second.value:
            raise self._error("a window goes from a lower to a higher rank, both in % or neither", start)
        return Ranked(run, first, second, start + 1)

    def _bound(self) -> Bound:
        self._peek()
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            raise self._error("expected a number of neurons or a percentage, such as 5% or 1000")
        if len(match.group()) > 2 * _MOST_DIGITS:
            raise self._error(f"a number of more than {2 * _MOST_DIGITS} digits")
        value, percent = float(match.group(1)), match.group(2) == "%"
        if percent and value > 100:
            raise self._error(f"{match.group()} is more than all of the ranking")
        if not percent and not value.is_integer():
            raise self._error(f"{match.group()} is not a whole number of neurons")
        self.at = match.end()
        return Bound(value, percent)

    def _random(self, start: int) -> Random:
        self._expect("(")
        of = self._inner()
        self._expect(",")
        self._peek()
        match = re.compile(r"seed\s*=\s*(\d+)").match(self.text, self.at)
        if match is None:
            raise self._error("expected seed=NUMBER")
        seed = self._number(match.group(1))
        self.at = match.end()
        anywhere, magnitude, by = False, False, None
        if self._peek() == ",":
            self.at += 1
            self._peek()
            how = _HOW.match(self.text, self.at)
            if how is None:
                raise self._error("expected 'anywhere' or 'match=magnitude'")
            self.at = how.end()
            anywhere, magnitude, by = how["anywhere"] is not None, how["magnitude"] is not None, how["by"]
        self._expect(")")
        return Random(of, seed, start + 1, anywhere, magnitude, by)

    def _saved(self) -> Named:
        start = self.at
        match = RUN_NAME.match(self.text, self.at + 1)
        if match is None:
            raise self._error("expected the name of a saved set after @; `snql sets` lists them")
        self.at = match.end()
        return Named(match.group(), start + 1)

    def _sql(self, start: int) -> Sql:
        self._expect("(")
        depth, quote, begin = 1, "", self.at
        while depth and self.at < len(self.text):
            character = self.text[self.at]
            if quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote = character
            else:
                depth += (character == "(") - (character == ")")
            self.at += 1
        if depth:
            raise self._error("this sql( is never closed", start)
        return Sql(self.text[begin : self.at - 1], start + 1)

    def _listed(self, match: re.Match[str] | None) -> Listed:
        start, members = self.at, []
        while match is not None:
            layer, neuron = match["l"] or match["layer"], match["n"] or match["neuron"]
            expert = match["e"] or match["expert"]
            members.append(
                (self._number(layer), None if expert is None else self._number(expert), self._number(neuron))
            )
            self.at = match.end()
            rest = re.compile(r"\s*,\s*").match(self.text, self.at)
            match = NEURON.match(self.text, rest.end()) if rest else None
        return Listed(tuple(members), start + 1)

    def _peek(self) -> str:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at] if self.at < len(self.text) else ""

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._error(f"expected {character!r}")
        self.at += 1

    def _error(self, message: str, at: int | None = None) -> ExpressionError:
        return ExpressionError(message, self.text, (self.at if at is None else at) + 1)
