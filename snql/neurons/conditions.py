"""Conditions on neurons' values, as in ``RUN[score > 0.1 and mean_after > mean_before]``.

CONDITION  := COMPARISON ("and" COMPARISON)*
COMPARISON := OPERAND ("<" | "<=" | ">" | ">=" | "=" | "!=") OPERAND
OPERAND    := COLUMN | "abs(" COLUMN ")" | NUMBER
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snql.neurons.reading import MOST_DIGITS, Reader
from snql.neurons.tree import Comparison, Operand

Values = npt.NDArray[np.float64]

MOST_COMPARISONS = 50
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_OPERATOR = re.compile("|".join(_OPERATORS))
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ABSOLUTE = re.compile(r"abs\s*\(")
_AND = re.compile(r"and\b", re.IGNORECASE)
_OTHERS = re.compile(r"or\b|\|\|?|&&?|,", re.IGNORECASE)
"""What joins comparisons elsewhere."""


def read_comparisons(reader: Reader) -> tuple[Comparison, ...]:
    """Read a condition; raises ExpressionError with the column of a mistake."""
    found = [_comparison(reader)]
    while reader.take(_AND):
        if len(found) == MOST_COMPARISONS:
            raise reader.error(f"more than {MOST_COMPARISONS} comparisons: join two sets with &")
        found.append(_comparison(reader))
    _check_end(reader)
    return tuple(found)


def _check_end(reader: Reader) -> None:
    """Raise ExpressionError where a condition goes on with what does not join comparisons."""
    reader.peek()
    at = reader.at
    if other := reader.take(_OTHERS):
        raise reader.error(
            f"{other.group()!r} joins no comparisons: write and between them, or join two sets, as in "
            "RUN[score > 1] | RUN[rank <= 9]",
            at,
        )


def columns_of(comparisons: Iterable[Comparison]) -> dict[str, int]:
    """The columns that a condition compares, with the place where each is first written."""
    found: dict[str, int] = {}
    for each in comparisons:
        for operand in (each.left, each.right):
            if operand.name is not None:
                found.setdefault(operand.name, operand.column)
    return found


def holds(comparisons: Iterable[Comparison], values: Mapping[str, Values]) -> npt.NDArray[np.bool_]:
    """For each neuron whether every comparison holds; values: of each column, NaN where unknown, of one shape."""
    found: npt.NDArray[np.bool_] = np.logical_and.reduce([_compared(each, values) for each in comparisons])
    return found


def _comparison(reader: Reader) -> Comparison:
    reader.peek()
    start = reader.at
    left = _operand(reader)
    _check_end(reader)
    sign = reader.need(_OPERATOR, "expected a comparison: <, <=, >, >=, = or !=").group()
    right = _operand(reader)
    if left.name is None and right.name is None:
        raise reader.error("two numbers say nothing of a neuron: compare a column, such as score", start)
    return Comparison(left, sign, right)


def _operand(reader: Reader) -> Operand:
    reader.peek()
    column = reader.at + 1
    if number := reader.take(_NUMBER):
        if len(number.group()) > 2 * MOST_DIGITS:
            raise reader.error(f"a number of more than {2 * MOST_DIGITS} digits")
        return Operand(None, float(number.group()), False, column)
    absolute = reader.take(_ABSOLUTE) is not None
    name = reader.need(_COLUMN, "expected a column, such as score, or a number").group()
    if absolute:
        reader.expect(")")
    return Operand(name, 0.0, absolute, column)


def _compared(comparison: Comparison, values: Mapping[str, Values]) -> npt.NDArray[np.bool_]:
    left, right = (_value(each, values) for each in (comparison.left, comparison.right))
    known = ~(np.isnan(left) | np.isnan(right))
    result: npt.NDArray[np.bool_] = known & _OPERATORS[comparison.operator](left, right)
    return result


def _value(operand: Operand, values: Mapping[str, Values]) -> Values:
    found = np.float64(operand.number) if operand.name is None else values[operand.name]
    return np.asarray(np.abs(found) if operand.absolute else found)
