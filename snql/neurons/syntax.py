"""The grammar of neuron expressions, as text to tree.

expression := term (("|" | "-") term)*          left to right
term       := factor ("&" factor)*              binds tighter
factor     := "(" expression ")" | "all" | PLACE ("," PLACE)* | "last(" INT "layers" ")" | "@" NAME
            | RUN ":" AMOUNT | RUN "[" CONDITION "]" | "top(" AMOUNT "," expression "by" RUN ")"
            | "random(" expression "," "seed=" INT ("," HOW)? ")" (or HOW first) | "sql(" SELECT … ")"
PLACE      := L12.N345 | L12.E3.N345 | L12 | L12.E3 | L16..L30               (a range has both its ends)
HOW        := "anywhere" | "match=" ("layer" | "anywhere" | "magnitude" (":" RUN)?)
AMOUNT     := (5% | 20000 | 5%..10% | 1000..2000) ("/layer" | "/index")?     (a window leaves its lower end out)
CONDITION  := see :mod:`snql.neurons.conditions`
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from snql.errors import SURROGATE, ExpressionError
from snql.neurons.conditions import read_comparisons
from snql.neurons.reading import MOST_DIGITS, Reader
from snql.neurons.sets import NEURON
from snql.neurons.tree import (
    Bound,
    Combined,
    Everything,
    Filtered,
    LastLayers,
    Layers,
    Listed,
    Named,
    Node,
    Random,
    Ranked,
    Sql,
    Top,
    runs_ranked,
    walk,
)

RUN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*")
_MAX_DEPTH = 50
_MOST_OPERATORS = 200
LONGEST = 1 << 16
"""Characters of an expression; a longer one is not read at all."""
RESERVED = frozenset({"all", "random", "sql"})
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_WHOLE = re.compile(r"\d+")
_COMMA = re.compile(r",")
_SEED = re.compile(r"seed\s*=\s*(\d+)")
_LAYERS = re.compile(r"layers?\b")
_BY = re.compile(r"by\b")
_PER = re.compile(r"/\s*(layer|index)\b")
_PLACE = re.compile(r"L(?P<first>\d+)(?:\s*\.\.\s*L?(?P<last>\d+)|[./:]E(?P<expert>\d+))?(?!\w)")
_HOW = re.compile(
    r"anywhere|match\s*=\s*(?:layer\b|(?P<anywhere>anywhere)|"
    rf"(?P<magnitude>magnitude)(?:\s*:\s*(?P<by>{RUN_NAME.pattern}))?)"
)


def parse(text: str) -> Node:
    """Parse a neuron expression; raises ExpressionError with the column of a mistake."""
    if len(text) > LONGEST:
        raise ExpressionError(f"longer than {LONGEST:,} characters: save a part of it as a set", text, 1)
    if half := SURROGATE.search(text):
        raise ExpressionError("half of a surrogate pair, which is no text", text, half.start() + 1)
    parser = _Parser(text)
    node = parser.expression()
    parser.end()
    return node


def parse_top(text: str) -> Bound | None:
    """``5%`` or ``20000``: how much of a ranking; None for anything else."""
    try:
        node = parse(f"run:{text}")
    except ExpressionError:
        return None
    match node:
        case Ranked(low=Bound(value=0), high=high, per=None):
            return high
    return None


def runs_named(expressions: Iterable[str]) -> frozenset[str]:
    """The runs that expressions name; of SQL, every string literal, since any may be a run's name."""
    return frozenset().union(*(_runs(parse(text)) for text in expressions))


def _runs(node: Node) -> frozenset[str]:
    found = set(runs_ranked(node))
    for each in walk(node):
        match each:
            case Random(by=str(by)):
                found.add(by)
            case Sql(query):
                found |= {literal.replace("''", "'") for literal in _LITERAL.findall(query)}
    return frozenset(found)


class _Parser(Reader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.operators = 0

    def expression(self) -> Node:
        return self._chain("|-", self._term)

    def end(self) -> None:
        if self.peek():
            raise self.error(f"unexpected {self.text[self.at]!r}; operators are & | -")

    def _term(self) -> Node:
        return self._chain("&", self._factor)

    def _chain(self, operators: str, operand: Callable[[], Node]) -> Node:
        node = operand()
        while (operator := self.peek()) and operator in operators:
            self._count()
            self.at += 1
            node = Combined(operator, node, operand())
        return node

    def _count(self) -> None:
        self.operators += 1
        if self.operators > _MOST_OPERATORS:
            raise self.error(f"more than {_MOST_OPERATORS} operators: save a part of it as a set")

    def _factor(self) -> Node:
        next_character = self.peek()
        if not next_character:
            raise self.error("something is missing here: a set such as RUN:5%")
        if next_character == "(":
            self.at += 1
            node = self._inner()
            self.expect(")")
            return node
        if next_character == "@":
            return self._saved()
        return self._places() or self._named()

    def _inner(self) -> Node:
        """An expression inside a bracket."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(f"more than {_MAX_DEPTH} brackets inside each other")
        node = self.expression()
        self.depth -= 1
        return node

    def _named(self) -> Node:
        self.peek()
        start = self.at
        match = self.take(RUN_NAME)
        if match is None:
            raise self.error(f"unexpected {self.text[self.at]!r}; write RUN:5%, all, random(…), @name, or L12.N345")
        name, follows = match.group(), self.peek()
        functions: dict[str, Callable[[int], Node]] = {"random": self._random, "sql": self._sql}
        if follows == "(":
            functions |= {"top": self._top, "last": self._last}  # a run may have such a name
        if name == "all":
            return Everything()
        if name in functions:
            return functions[name](start)
        if follows == "[":
            return self._filtered(name, start)
        if follows != ":":
            raise self.error(f"how many neurons of run {name!r}? write {name}:5% or {name}:1000", start)
        self.at += 1
        return self._amount(name, start)

    def _amount(self, run: str, start: int) -> Ranked:
        low, high = Bound(0, False), self._bound()
        if self.text.startswith("..", self.at):
            self.at += 2
            low, high = high, self._bound()
            if low.percent != high.percent or low.value >= high.value:
                raise self.error("a window goes from a lower to a higher rank, both in % or neither", start)
        if self.peek() != "/":
            return Ranked(run, low, high, start + 1)
        per = self.need(_PER, "expected /layer or /index")
        return Ranked(run, low, high, start + 1, per.group(1))

    def _bound(self) -> Bound:
        match = self.take(_NUMBER)
        if match is None:
            raise self.error("expected a number of neurons or a percentage, such as 5% or 1000")
        value, percent = float(match.group(1)), match.group(2) == "%"
        fault = None
        if len(match.group(1).partition(".")[0]) > MOST_DIGITS or len(match.group()) > 2 * MOST_DIGITS:
            fault = f"a number of more than {MOST_DIGITS} digits"
        elif percent and value > 100:
            fault = f"{match.group()} is more than all of the ranking"
        elif not percent and not value.is_integer():
            fault = f"{match.group()} is not a whole number of neurons"
        if fault is not None:
            raise self.error(fault, match.start())
        return Bound(value, percent)

    def _filtered(self, run: str, start: int) -> Filtered:
        self.expect("[")
        comparisons = read_comparisons(self)
        self.expect("]")
        return Filtered(run, comparisons, start + 1)

    def _top(self, start: int) -> Top:
        self.expect("(")
        ranked = self._amount("", start)
        self.expect(",")
        of = self._inner()
        self.need(_BY, "expected by RUN: by which run's ranking?")
        run = self.need(RUN_NAME, "expected the name of a locate run")
        self.expect(")")
        return Top(of, replace(ranked, run=run.group(), column=run.start() + 1))

    def _last(self, start: int) -> LastLayers:
        self.expect("(")
        number = self.whole(self.need(_WHOLE, "expected a number of layers, as in last(5 layers)").group())
        self.need(_LAYERS, f"expected 'layers', as in last({number} layers)")
        self.expect(")")
        return LastLayers(number, start + 1)

    def _random(self, start: int) -> Random:
        self.expect("(")
        of = self._inner()
        self.expect(",")
        how = self.take(_HOW)
        if how is not None:
            self.expect(",")
        seed = self.whole(self.need(_SEED, "expected seed=NUMBER").group(1))
        if how is None and self.take(_COMMA):
            how = self.need(_HOW, "expected 'anywhere', 'match=layer' or 'match=magnitude'")
        self.expect(")")
        if how is None:
            return Random(of, seed, start + 1)
        anywhere = how.group() == "anywhere" or how["anywhere"] is not None
        return Random(of, seed, start + 1, anywhere, how["magnitude"] is not None, how["by"])

    def _saved(self) -> Named:
        start = self.at
        match = RUN_NAME.match(self.text, self.at + 1)
        if match is None:
            raise self.error("expected the name of a saved set after @; `snql sets` lists them")
        self.at = match.end()
        return Named(match.group(), start + 1)

    def _sql(self, start: int) -> Sql:
        self.expect("(")
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
            raise self.error("this sql( is never closed", start)
        return Sql(self.text[begin : self.at - 1], start + 1)

    def _places(self) -> Node | None:
        """Neurons and layers with commas between; None where there are none."""
        node: Node | None = self._place()
        while node is not None and self.peek() == ",":
            comma = self.at
            self.at += 1
            more = self._place()
            if more is None:
                self.at = comma
                break
            self._count()
            node = Combined("|", node, more)
        return node

    def _place(self) -> Listed | Layers | None:
        """Neurons, as many as follow each other, or one layer, range of layers or expert."""
        self.peek()
        start = self.at
        if match := NEURON.match(self.text, self.at):
            return self._listed(match)
        run = RUN_NAME.match(self.text, self.at)
        follows = self.text[run.end() :].lstrip()[:1] if run else ""
        place = _PLACE.match(self.text, self.at)
        if place is None or follows in (":", "["):  # a run may have such a name
            return None
        self.at = place.end()
        first = self.whole(place["first"])
        last = first if place["last"] is None else self.whole(place["last"])
        if last < first:
            raise self.error("a range goes from a lower to a higher layer", start)
        return Layers(first, last, start + 1, None if place["expert"] is None else self.whole(place["expert"]))

    def _listed(self, match: re.Match[str] | None) -> Listed:
        start, members = self.at, []
        while match is not None:
            layer, neuron = match["l"] or match["layer"], match["n"] or match["neuron"]
            expert = match["e"] or match["expert"]
            members.append((self.whole(layer), None if expert is None else self.whole(expert), self.whole(neuron)))
            self.at = match.end()
            rest = re.compile(r"\s*,\s*").match(self.text, self.at)
            match = NEURON.match(self.text, rest.end()) if rest else None
        return Listed(tuple(members), start + 1)
