"""Facts that customers may correct or remove on the page of their own data: the controls, and what was changed.

A control `fact.<name>` holds one text, or none for an unknown fact: numbers with a point or comma, days as 1990-02-28,
`yes` or `no`. Only what differs from what the page showed counts, so that a fact in another form stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from mailshot.facts.catalogue import Fact, FactType
from mailshot.store.fact_corrections import FactValue

FACT = "fact."
#: The longest text that a customer may write.
MAX_CHARACTERS = 200
FIRST_YEAR = 1900
# Three digits after a sign may be a fraction or thousands, so they are refused.
_NUMBER = re.compile(r"-?\d{1,12}(?:[.,]\d{1,2})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def editable(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return the facts that customers may correct, by name."""
    return {name: fact for name, fact in facts.items() if fact.editable}


def fact_controls(facts: Mapping[str, Fact], values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the control of each editable fact that is known."""
    texts = {name: _text(fact.typed(values.get(name))) for name, fact in editable(facts).items()}
    return {FACT + name: (text,) for name, text in texts.items() if text}


def changed_facts(
    posted: Mapping[str, tuple[str, ...]], shown_controls: Mapping[str, tuple[str, ...]], facts: Mapping[str, Fact]
) -> tuple[dict[str, FactValue], list[Fact]]:
    """Return the facts that a posted page changes, by name, and those whose text is not a valid value."""
    values: dict[str, FactValue] = {}
    wrong = []
    for name, fact in editable(facts).items():
        control = FACT + name
        if control not in posted or posted[control] == shown_controls.get(control, ("",)):
            continue
        try:
            values[name] = read_fact(fact, posted[control][-1])
        except ValueError:
            wrong.append(fact)
    return values, wrong


def read_fact(fact: Fact, text: str) -> FactValue:
    """Return the value to store for a customer's text, None for an empty one. Raises ValueError for an invalid one."""
    text = " ".join(_CONTROL.sub(" ", text).split())
    if not text:
        return None
    if fact.type is FactType.number:
        return _number(text)
    if fact.type is FactType.boolean:
        return _choice(text, ("yes", "no")) == "yes"
    if fact.type is FactType.date:
        return _day(fact, text)
    if len(text) > MAX_CHARACTERS:
        raise ValueError(text)
    return _choice(text, fact.choices) if fact.choices else text


def _text(value: str | bool | Decimal | date | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "" if value is None else str(value)


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ValueError(text)
    return text


def _number(text: str) -> int | float:
    text = text.replace("\u2212", "-")  # the minus sign of typographers
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    number = float(text.replace(",", "."))
    return int(number) if number.is_integer() else number


def _day(fact: Fact, text: str) -> str:
    day = date.fromisoformat(text)
    # Tomorrow is allowed: it may already be tomorrow in another time zone.
    unborn = "birth" in fact.name and day > datetime.now(UTC).date() + timedelta(days=1)
    if day.isoformat() != text or day.year < FIRST_YEAR or unborn:
        raise ValueError(text)
    return text
