"""Reads typed values and comparisons from YAML nodes.

Each function adds a problem and returns None if the node is invalid, so one pass finds every error of a file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from mailshot import documents
from mailshot.documents import Node, Problems, Scalar, Sequence
from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import KNOWN, ORDERED, TEXTUAL, Comparison, Value
from mailshot.facts.periods import Span

MAX_VALUES = 10_000
_COMMA = re.compile(r"(-?\d+),(\d+)", re.ASCII)
#: How numbers and days are written. Python would also take 1_000, 1e3, +5, digits of other scripts and 20260331.
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_WHOLE = re.compile(r"\s*-?\d+\s*", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
#: 1.000 is one to some and a thousand to others; who means one does not write it so.
_GROUPED = re.compile(r"-?[1-9]\d{0,2}\.\d\d0", re.ASCII)
# A list of texts or numbers is looked up as one; each day or count of a list is a comparison of its own.
MAX_COUNTS = 100
LARGEST = 10**11
YEARS = range(1800, 2200)
OPERATORS: Mapping[FactType, tuple[str, ...]] = {FactType.text: tuple(TEXTUAL), FactType.boolean: ("is",)}
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%", re.ASCII)
EXAMPLES = {
    FactType.number: "a number such as 3 or 12.50",
    FactType.boolean: "yes or no",
    FactType.date: "a date such as 2026-03-31",
    FactType.text: "a word or text",
}


def read_text(node: Node, problems: Problems, what: str) -> str | None:
    """Read one non-empty text."""
    if isinstance(node, Scalar) and node.text.strip():
        return node.text
    problems.add(node, f"{what} must be a word or text")
    return None


def read_word(node: Node, known: Collection[str], problems: Problems, what: str) -> str | None:
    """Read one text that must be among `known`, else suggest the nearest."""
    word = read_text(node, problems, what)
    if word is not None and word not in known:
        problems.unknown(node, f"unknown {what} '{word}'", word, known)
        return None
    return word


def read_value(node: Node, kind: FactType, problems: Problems) -> Value | None:
    """Read one value of the given type."""
    if not isinstance(node, Scalar):
        problems.add(node, f"expected {EXAMPLES[kind]}")
        return None
    value = typed(node.text.strip(), kind)
    if value is None:
        remedy = _plainly(node.text.strip()) if kind is FactType.number else ""
        problems.add(node, f"'{node.text}' is not {EXAMPLES[kind]}", remedy)
    return value


def _plainly(raw: str) -> str:
    """Return as a remedy how to write a number that is written in another way; empty for what is none."""
    if point := _COMMA.fullmatch(raw):
        return f"Decimals are written with a point: {point[1]}.{point[2]}."
    if _GROUPED.fullmatch(raw):
        return f"A point stands before decimals: write {raw.replace('.', '')} or {raw.rstrip('0').rstrip('.')}."
    if _NUMBER.fullmatch(raw):
        return ""
    try:
        number = Decimal(raw)
    except InvalidOperation:
        return ""
    return f"Write it as {number:f}." if number.is_finite() and abs(number) < LARGEST else ""


def digits(value: Any) -> object:
    """Return what a whole number of a model is read from. Raises PydanticCustomError unless it is plain digits."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise PydanticCustomError("int_parsing", "must be a whole number")
    return value


#: A whole number in a file, where pydantic alone would also take 1_000, +5 and 5.0.
Whole = Annotated[int, BeforeValidator(digits)]


def read_fact_value(node: Node, about: Fact, problems: Problems) -> Value | None:
    """Read one value that a fact can have."""
    if not isinstance(node, Scalar):
        problems.add(node, f"expected one value: {EXAMPLES[about.type]}")
        return None
    if about.choices:
        return read_word(node, about.choices, problems, about.name)
    return read_value(node, about.type, problems)


def typed(raw: str, kind: FactType) -> Value | None:
    if kind is FactType.text:
        return raw or None
    if kind is FactType.boolean:
        return {"yes": True, "true": True, "no": False, "false": False}.get(raw.lower())
    try:
        if kind is FactType.date:
            day = date.fromisoformat(raw) if _DAY.fullmatch(raw) else None
            return day if day and day.year in YEARS else None
        if not _NUMBER.fullmatch(raw) or _GROUPED.fullmatch(raw):
            return None
        number = Decimal(raw)
        small = number.is_finite() and abs(number) < LARGEST
        return number if small and round(number, 4) == number else None
    except (ValueError, InvalidOperation):
        return None


def read_fact_comparison(node: Node, about: Fact, problems: Problems, also: Iterable[str] = ()) -> Comparison | None:
    """Read the value that a fact is compared with. A value outside the fact's choices is a problem.

    `also` are further comparisons that are known where it stands.
    """
    before = len(problems.found)
    comparison = read_comparison(node, about.type, problems, also=also)
    if comparison and about.choices and comparison.operator in ("is", "one_of"):
        inner = node.entries[0][1] if isinstance(node, documents.Mapping) else node
        known = frozenset(about.choices)
        for item in inner.items if isinstance(inner, Sequence) else (inner,):
            read_word(item, known, problems, about.name)
    return comparison if len(problems.found) == before else None


def read_comparison(
    node: Node, kind: FactType, problems: Problems, most: int = MAX_VALUES, also: Iterable[str] = ()
) -> Comparison | None:
    """Read `NO`, `[NO, SE]` or `{at_least: 3}` for a value of type `kind`; `most` is how long a list may be."""
    if isinstance(node, Sequence):
        return _one_of(node, kind, problems, most)
    if isinstance(node, documents.Mapping):
        return _operator(node, kind, problems, most, also)
    value = read_value(node, kind, problems)
    return (
        None
        if value is None
        else Comparison("is" if kind in (FactType.text, FactType.boolean) else "exactly", (value,))
    )


def _one_of(node: Sequence, kind: FactType, problems: Problems, most: int) -> Comparison | None:
    if not node.items:
        problems.add(node, "the list is empty", "Name at least one value, or remove the line.")
        return None
    most = min(most, MAX_COUNTS) if kind is FactType.date else most
    if len(node.items) > most:
        problems.add(node, f"the list has {len(node.items):,} values; at most {most:,} are allowed")
        return None
    values = [read_value(item, kind, problems) for item in node.items]
    valid = tuple(item for item in values if item is not None)
    return Comparison("one_of", valid) if len(valid) == len(values) else None


def _decimal(node: documents.Mapping) -> str:
    """Return a remedy for `{at_least: 100,5}`, which YAML reads as two entries; empty for anything else."""
    if len(node.entries) != 2:
        return ""
    (operator, whole), (decimals, _) = node.entries
    if not (isinstance(whole, Scalar) and whole.text.isdecimal() and decimals.text.isdecimal()):
        return ""
    return f"Decimals are written with a point: {{{operator.text}: {whole.text}.{decimals.text}}}."


def _operator(
    node: documents.Mapping, kind: FactType, problems: Problems, most: int, also: Iterable[str]
) -> Comparison | None:
    operators = OPERATORS.get(kind, tuple(ORDERED))
    known = (*operators, KNOWN)
    if len(node.entries) != 1:
        problems.add(node, "expected exactly one comparison", _decimal(node) or f"For example {{{known[0]}: …}}.")
        return None
    key, operand = node.entries[0]
    if key.text not in known:
        problems.unknown(key, f"unknown comparison '{key.text}' for a {kind}", key.text, {*known, *also})
        return None
    if key.text == KNOWN:
        answer = read_value(operand, FactType.boolean, problems)
        return None if answer is None else Comparison(KNOWN, (answer,))
    if key.text == "one_of":
        return read_comparison(operand, kind, problems, most)
    if key.text == "between":
        return _between(operand, kind, problems)
    value = read_value(operand, kind, problems)
    return None if value is None else Comparison(key.text, (value,))


def _between(node: Node, kind: FactType, problems: Problems) -> Comparison | None:
    if not isinstance(node, Sequence) or len(node.items) != 2:
        problems.add(node, "'between' needs a list of two values", "For example [10, 20].")
        return None
    low, high = (read_value(item, kind, problems) for item in node.items)
    if low is None or high is None:
        return None
    if low > high:  # type: ignore[operator]
        problems.add(node, f"'between' runs backwards: {low} is more than {high}", "Swap the two values.")
        return None
    return Comparison("between", (low, high))


def read_span(node: Node, problems: Problems, what: str) -> Span | None:
    """Read a length of time such as '90 days'."""
    span = Span.parse(node.text) if isinstance(node, Scalar) else None
    if span is None:
        quoted = f"'{node.text}'" if isinstance(node, Scalar) else "this"
        problems.add(
            node, f"{what}: {quoted} is not a length of time", "Write for example '90 days', '2 weeks' or '1 year'."
        )
    return span


def read_confidence(node: Node, problems: Problems) -> float | None:
    """Read how sure an inference is."""
    confidence = typed(node.text.strip(), FactType.number) if isinstance(node, Scalar) else None
    if not isinstance(confidence, Decimal) or not 0 < confidence <= 1:
        problems.add(node, "confidence must be more than 0 and at most 1", "For example 0.95.")
        return None
    return float(confidence)


def read_share(node: Node, problems: Problems, what: str) -> int | None:
    """Read a percentage such as '10%' as ten-thousandths."""
    share = parse_percent(node.text) if isinstance(node, Scalar) else None
    if share is None:
        problems.add(node, f"{what} must be a percentage from 0% to 100%", "For example '10%' or '2.5%'.")
    return share


def parse_percent(text: str) -> int | None:
    """Return the ten-thousandths that '2.5%' says, None when it says no whole number of them from 0% to 100%."""
    match = _PERCENT.fullmatch(text.strip())
    parts = Decimal(match[1]) * 100 if match else Decimal(-1)
    return int(parts) if 0 <= parts <= 10_000 and parts == parts.to_integral_value() else None
