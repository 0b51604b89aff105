"""Loads the table of what servers say when they do not deliver (bounce_phrases.txt)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from mailshot.states import BounceReason

_TABLE = Path(__file__).with_suffix(".txt")
_MAILBOX = (
    "(?:users?|mailbox(?:es)?|recipients?|accounts?|address(?:ee)?|alias|mail ?drop|inbox|email|user ?name|user ?id"
    "|person|customer|subscriber)"
)


class PhraseGroup(StrEnum):
    """The groups of the table, each for one step of `bounce_rules.decide`."""

    block = "block"
    soft = "soft"
    no_domain = "no-domain"
    no_mailbox = "no-mailbox"
    local = "local"
    weak_block = "weak-block"
    weather = "weather"


@dataclass(frozen=True, slots=True)
class PhraseRule:
    """A cause and how servers word it."""

    reason: BounceReason
    phrases: tuple[str, ...]
    #: None without a regular expression.
    pattern: re.Pattern[str] | None

    def matches(self, text: str) -> bool:
        """Return whether a normalized text names this cause."""
        return any(phrase in text for phrase in self.phrases) or bool(self.pattern and self.pattern.search(text))


def first_rule(group: PhraseGroup, text: str) -> PhraseRule | None:
    """Return the first rule of a group that matches a normalized text."""
    return next((rule for rule in _load()[group] if rule.matches(text)), None)


def one_spelling(text: str) -> str:
    """Spell words that servers write in several ways in one."""
    return text.replace("e-mail", "email").replace("mail box", "mailbox").replace("_", " ")


@cache
def _load() -> Mapping[PhraseGroup, Sequence[PhraseRule]]:
    rules: dict[PhraseGroup, list[PhraseRule]] = defaultdict(list)
    for section in re.split(r"(?m)^\[(?=[a-z-]+ [a-z_]+\]$)", _TABLE.read_text(encoding="utf-8"))[1:]:
        head, *lines = [line for line in section.splitlines() if line and not line.startswith("#")]
        group, _, reason = head.rstrip("]").partition(" ")
        patterns = [line[2:].replace("{mailbox}", _MAILBOX) for line in lines if line.startswith("~ ")]
        phrases = dict.fromkeys(one_spelling(line) for line in lines if not line.startswith("~ "))
        pattern = re.compile("|".join(patterns)) if patterns else None
        rules[PhraseGroup(group)].append(PhraseRule(BounceReason[reason], tuple(phrases), pattern))
    return rules
