"""Owns who enters and leaves each audience between two versions of the rules; refuses to read them, and to print."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from mailshot.audience import equality, evaluate
from mailshot.audience.compile import Compiler
from mailshot.audience.evaluate import Evaluator, Verdict
from mailshot.audience.registry import Audience
from mailshot.errors import InvalidInput, NotFound, Problem, nearest
from mailshot.facts.periods import Span
from mailshot.profile.customer import Profile
from mailshot.rulebook.rulebook import Rulebook, is_independent
from mailshot.rulebook.versions import Version
from mailshot.store import audiences, profiles, transitions
from mailshot.store.engine import Connection, Store
from mailshot.store.transitions import MAIL, Outcomes, Transition

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
        unchanged={kind: [name for found, name in same if found == kind] for kind in KINDS},
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
        causes = tuple(differences_in_meaning(old, new)) if old and new else ()
        return Change(*key, before if old else None, after if new else None, entered, left, causes, told)

    def _asked(self, old: ResolvedAudience | None, new: ResolvedAudience | None) -> tuple[int, int, Movement, Movement]:
        as_of = next(one.as_of for one in (new, old) if one)
        before, after = (self._set(one) for one in (old, new))
        # Of an audience that is wholly new or gone, nobody asks why.
        most = self.most if old and new else 0
        found = {
            (move.was, move.now): move
            for move in transitions.moves(self.connection, before, after, (YEAR.before(as_of), as_of), most)
        }
        entered, left, stayed = (found.get(way) for way in ((None, MAIL), (MAIL, None), (MAIL, MAIL)))
        was, now = (sum(one.customers for one in some if one) for some in ((stayed, left), (stayed, entered)))
        return was, now, self._moved(entered, old, new), self._moved(left, old, new)

    def _set(self, one: ResolvedAudience | None) -> Outcomes:
        if one is None:
            return transitions.nobody()
        return transitions.audience(audiences.with_statistics(self.connection, one.compiled), one.audience.condition)

    def _moved(self, move: Transition | None, old: ResolvedAudience | None, new: ResolvedAudience | None) -> Movement:
        if move is None:
            return Movement()
        people = [profiles.profile(self.connection, who) for who in move.examples]
        told = [
            (str(one.facts["key"]), evaluate.deciding_clause(old.verdict(one), new.verdict(one)))
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
        found, problems = resolve_one(rules, only, asked, now)
    elif not problems:
        found, problems = resolve_all(rules, asked, now)
    if only is None or not found:
        problems += [problem for told in version.broken.values() for problem in told if problem not in problems]
    if problems:
        raise InvalidInput(problems, f"The rules {side} ({version.label}) have errors:")
    return found


def _notes(before: Rulebook, after: Rulebook) -> list[str]:
    """Tell what may move customers later though no count shows it today."""
    same = before.traits == after.traits
    return [] if same else ["rules/traits differ; both sides are counted with what was inferred last."]


Key = tuple[str, str]
KINDS = AUDIENCE, CAMPAIGN = "audience", "campaign"


@dataclass(frozen=True, slots=True)
class ResolvedAudience:
    """An audience with the moment that counts as today and the zone its days are of."""

    audience: Audience
    as_of: datetime
    zone: ZoneInfo

    @property
    def means(self) -> Hashable:
        """Return what decides who belongs: equal for equal meanings."""
        return equality.fingerprint(self.audience.condition), self.as_of, self.zone.key

    @property
    def compiled(self) -> Compiler:
        return audiences.compiler(self.as_of, self.zone)

    def verdict(self, profile: Profile) -> Verdict:
        return Evaluator(profile, self.as_of, self.zone).verdict(self.audience.condition)


def resolve(rules: Rulebook, found: Audience, asked: datetime | None, now: datetime) -> ResolvedAudience:
    """Return how an audience stands by itself."""
    return ResolvedAudience(found, rules.company.today(asked, now), rules.company.time_zone)


def resolve_all(
    rules: Rulebook, asked: datetime | None, now: datetime
) -> tuple[dict[Key, ResolvedAudience], list[Problem]]:
    """Return how each audience and each campaign's audience stands, and every problem on the way there."""
    found: dict[Key, ResolvedAudience] = {}
    problems: dict[Problem, None] = {}

    def whole() -> None:
        found.update({(AUDIENCE, one.name): resolve(rules, one, asked, now) for one in rules.book.sound()})
        problems.update(dict.fromkeys(rules.book.problems))

    def one(name: str) -> None:
        read = rules.campaign(name)
        found[CAMPAIGN, name] = resolve(rules, read.audience, asked or read.campaign.as_of, now)

    readers: list[Callable[[], None]] = [whole]
    readers += [partial(one, name) for name in _campaigns(rules, problems)]
    for read in readers:
        try:
            read()
        except InvalidInput as error:
            problems.update(dict.fromkeys(error.problems))
    return found, list(problems)


def resolve_one(
    rules: Rulebook, name: str, asked: datetime | None, now: datetime
) -> tuple[dict[Key, ResolvedAudience], list[Problem]]:
    """Return how one audience stands, if there is one of this name, and the problems on the way there."""
    try:
        known = name in rules.book.names
        return {(AUDIENCE, name): resolve(rules, rules.book.audience(name), asked, now)} if known else {}, []
    except InvalidInput as error:
        return {}, list(error.problems)


def _campaigns(rules: Rulebook, problems: dict[Problem, None]) -> list[str]:
    try:
        return list(rules.campaigns)
    except InvalidInput as error:
        problems.update(dict.fromkeys(error.problems))
        return []


def differences_in_meaning(before: ResolvedAudience, after: ResolvedAudience) -> list[str]:
    """Say what makes two standings differ: the rule itself, or what it names or is asked with."""
    old, new = before.audience, after.audience
    told = [f"audience '{old.name}' -> '{new.name}'"] if old.name != new.name else []
    if equality.written(old.condition) != equality.written(new.condition) and not told:
        told.append("its rule")
    told += equality.shifted(old.condition, new.condition)
    if before.zone.key != after.zone.key:
        told.append(f"time zone {before.zone.key} -> {after.zone.key}")
    if before.as_of != after.as_of:
        told.append(f"today {before.as_of:%Y-%m-%d %H:%M %Z} -> {after.as_of:%Y-%m-%d %H:%M %Z}")
    return told
