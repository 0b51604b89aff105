"""Owns saying in a line which clause let a customer in or kept one out, given both verdicts; refuses to judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mailshot.audience.evaluate import Verdict

NOT = "not "


@dataclass(frozen=True, slots=True)
class Clause:
    """A leaf of a verdict; `holds` and `words` are those of the leaf with the 'not' around it."""

    words: str
    found: str
    holds: bool

    def said(self, when: str) -> str:
        """Return 'not now: lifecycle is active (lapsed, last purchase 2017-10-02)'."""
        found = f" ({self.found})" if self.found else ""
        if not self.holds and self.words.startswith(NOT):
            return f"{when}: {self.words.removeprefix(NOT)}{found}"
        return f"{'' if self.holds else NOT}{when}: {self.words}{found}"


def deciding_clause(before: Verdict, after: Verdict) -> str:
    """Say which clause decided, given verdicts that differ: one that only one side has, else why they were out."""
    out, into = (before, after) if after.holds else (after, before)
    out_when, in_when = ("before", "now") if after.holds else ("now", "before")
    outs, ins = list(deciding(out)), list(deciding(into))
    known_in, known_out = ({clause.words for clause in _leaves(side)} for side in (into, out))
    for clause in outs:
        if clause.words not in known_in:
            return clause.said(out_when)
    for clause in ins:
        if clause.words not in known_out:
            return clause.said(in_when)
    # The same words on both sides: what they mean, or the moment they are asked at, is another.
    return next((clause.said(out_when) for clause in outs if clause not in ins), outs[0].said(out_when))


def deciding(verdict: Verdict, denied: bool = False) -> Iterator[Clause]:
    """Give the leaves that make a verdict what it is, in the order they are written."""
    if not verdict.parts:
        yield _clause(verdict, denied)
        return
    agreeing = [part for part in verdict.parts if part.holds == verdict.holds]
    # Only a 'not' has no part that is as it is itself.
    for part in agreeing or verdict.parts:
        yield from deciding(part, denied is bool(agreeing))


def _leaves(verdict: Verdict, denied: bool = False) -> Iterator[Clause]:
    if not verdict.parts:
        yield _clause(verdict, denied)
    turned = bool(verdict.parts) and all(part.holds != verdict.holds for part in verdict.parts)
    for part in verdict.parts:
        yield from _leaves(part, denied is not turned)


def _clause(verdict: Verdict, denied: bool) -> Clause:
    words = f"{NOT}{verdict.words}" if denied else verdict.words
    return Clause(words, verdict.found, verdict.holds is not denied)
