"""Owns who enters and leaves each audience between two versions of the rules; refuses to read them, and to print."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from mailshot.campaign import standing, why
from mailshot.campaign.revisions import Version
from mailshot.campaign.rulebook import Rulebook, is_independent
from mailshot.campaign.standing import Key, ResolvedAudience
from mailshot.errors import InvalidInput, NotFound, nearest
from mailshot.profile.window import Span
from mailshot.store import audiences, differences, profiles
from mailshot.store.differences import MAIL, Move
from mailshot.store.engine import Connection, Store

YEAR = Span(1, "year")


@dataclass(frozen=True, slots=True)
class Movement:
    """So many customers, what they spent in the year before, and some of their keys with the clause that decided."""

    customers: int = 0
    spent: Decimal = Decimal(0)
    examples: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        shown = [{"customer": key, "why": told} for key, told in self.examples]
        return {"customers": self.customers, "spent": str(self.spent), "examples": shown}


@dataclass(frozen=True, slots=True)
class Change:
    """One audience, or one campaign's; the size is None on the side that does not have it.

    `told` when another change has the same two sides: the campaign of an audience that is listed, too.
    """

    kind: str
    name: str
    before: int | None
    after: int | None
    entered: Movement
    left: Movement
    causes: tuple[str, ...]
    told: bool = False

    def as_dict(self) -> dict[str, Any]:
        shown = {name: getattr(self, name) for name in ("name", "before", "after")}
        return {**shown, "entered": self.entered.as_dict(), "left": self.left.as_dict(), "causes": list(self.causes)}


@dataclass(frozen=True, slots=True)
class Diff:
    """All that differs between two versions. `notes` are differences that no count shows."""

    before: str
    after: str
    as_of: datetime
    currency: str
    changes: tuple[Change, ...]
    unchanged: Mapping[str, Sequence[str]]
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return {
            "before": self.before, "after": self.after, "as_of": self.as_of.isoformat(), "currency": self.currency,
            **{f"{kind}s": [one.as_dict() for one in self.changes if one.kind == kind] for kind in self.unchanged},
            "unchanged": {f"{kind}s": list(names) for kind, names in self.unchanged.items()}, "notes": list(self.notes),
        }  # fmt: skip


def compare(
    store: Store, before: Version, after: Version, asked: datetime | None, now: datetime, only: str | None, most: int
) -> Diff:
    """Compare two versions; `only` is the one audience to look at, `most` how many examples each move gets.

    Raises InvalidInput, saying whose rules are wrong, and NotFound for an audience that neither has.
    """
    old, new = _sound(before, "before", asked, now, only), _sound(after, "after", asked, now, only)
    if only is not None and not (old or new):
        names = {*before.rulebook.book.names, *after.rulebook.book.names}
        raise NotFound(f"Neither version has an audience '{only}'.", nearest(only, names))
    same = [key for key in new if key in old and old[key].means == new[key].means]
    differing = [key for key in {**new, **old} if key not in same]
    with store.read() as connection:
        look = _Comparer(connection, most)
        changes = tuple(look.change(key, old.get(key), new.get(key)) for key in differing)
    company = after.rulebook.company
    return Diff(
        before=before.label,
        after=after.label,
        as_of=company.today(asked, now),
        currency=company.currency,
        changes=changes,
        unchanged={kind: [name for found, name in same if found == kind] for kind in standing.KINDS},
        notes=tuple(_notes(before.rulebook, after.rulebook)),
    )


@dataclass(slots=True)
class _Comparer:
    """Compares in one transaction; campaigns that share an audience share the answer."""

    connection: Connection
    most: int
    known: dict[Hashable, tuple[int, int, Movement, Movement]] = field(default_factory=dict)

    def change(self, key: Key, old: ResolvedAudience | None, new: ResolvedAudience | None) -> Change:
        asked = (old and old.means, new and new.means)
        told = asked in self.known
        if not told:
            self.known[asked] = self._asked(old, new)
        before, after, entered, left = self.known[asked]
        causes = tuple(standing.differences_in_meaning(old, new)) if old and new else ()
        return Change(*key, before if old else None, after if new else None, entered, left, causes, told)

    def _asked(self, old: ResolvedAudience | None, new: ResolvedAudience | None) -> tuple[int, int, Movement, Movement]:
        as_of = next(one.as_of for one in (new, old) if one)
        before, after = (self._set(one) for one in (old, new))
        # Of an audience that is wholly new or gone, nobody asks why.
        most = self.most if old and new else 0
        found = {
            (move.was, move.now): move
            for move in differences.moves(self.connection, before, after, (YEAR.before(as_of), as_of), most)
        }
        entered, left, stayed = (found.get(way) for way in ((None, MAIL), (MAIL, None), (MAIL, MAIL)))
        was, now = (sum(one.customers for one in some if one) for some in ((stayed, left), (stayed, entered)))
        return was, now, self._moved(entered, old, new), self._moved(left, old, new)

    def _set(self, one: ResolvedAudience | None) -> Any:
        if one is None:
            return differences.nobody()
        return differences.audience(audiences.with_statistics(self.connection, one.compiled), one.audience.condition)

    def _moved(self, move: Move | None, old: ResolvedAudience | None, new: ResolvedAudience | None) -> Movement:
        if move is None:
            return Movement()
        people = [profiles.profile(self.connection, who) for who in move.examples]
        told = [
            (str(one.facts["key"]), why.deciding_clause(old.verdict(one), new.verdict(one)))
            for one in people
            if old and new
        ]
        return Movement(move.customers, move.spent, tuple(told))


def _sound(
    version: Version, side: str, asked: datetime | None, now: datetime, only: str | None
) -> dict[Key, ResolvedAudience]:
    """Read what a version says of every audience, or of one. Raises InvalidInput that names the version."""
    rules, found = version.rulebook, dict[Key, ResolvedAudience]()
    problems = [problem for name, told in version.broken.items() if not is_independent(name) for problem in told]
    # Without a file that others build on, every further error would only be its echo.
    if not problems and only is not None:
        found, problems = standing.resolve_one(rules, only, asked, now)
    elif not problems:
        found, problems = standing.resolve_all(rules, asked, now)
    if only is None or not found:
        problems += [problem for told in version.broken.values() for problem in told if problem not in problems]
    if problems:
        raise InvalidInput(problems, f"The rules {side} ({version.label}) have errors:")
    return found


def _notes(before: Rulebook, after: Rulebook) -> list[str]:
    """Tell what may move customers later though no count shows it today."""
    same = before.traits == after.traits
    return [] if same else ["rules/traits differ; both sides are counted with what was inferred last."]
