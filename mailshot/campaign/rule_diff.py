"""Who enters and leaves each audience between two versions of the rules. Start at `compare_versions`."""

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
Key = tuple[str, str]
KINDS = AUDIENCE, CAMPAIGN = "audience", "campaign"


@dataclass(frozen=True, slots=True)
class Movement:
    """Customers who enter or leave an audience."""

    customers: int = 0
    #: What they spent in the year before.
    spent: Decimal = Decimal(0)
    #: Keys of those who spent most, each with the clause that decided.
    examples: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        examples = [{"customer": key, "why": clause} for key, clause in self.examples]
        return {"customers": self.customers, "spent": str(self.spent), "examples": examples}


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one audience, or of the audience of one campaign."""

    #: AUDIENCE or CAMPAIGN.
    kind: str
    name: str
    #: The sizes; None in the version that does not have it.
    before: int | None
    after: int | None
    entered: Movement
    left: Movement
    #: What differs in meaning.
    causes: tuple[str, ...]
    #: Another change in the list has the same two sides: the campaign of an audience that is listed, too.
    repeated: bool = False

    def as_dict(self) -> dict[str, Any]:
        sizes = {name: getattr(self, name) for name in ("name", "before", "after")}
        return {**sizes, "entered": self.entered.as_dict(), "left": self.left.as_dict(), "causes": list(self.causes)}


@dataclass(frozen=True, slots=True)
class Diff:
    """All that differs between two versions of the rules."""

    #: Names of the versions.
    before: str
    after: str
    as_of: datetime
    currency: str
    changes: tuple[Change, ...]
    #: Names by kind.
    unchanged: Mapping[str, Sequence[str]]
    #: Differences that no count shows.
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return {
            "before": self.before, "after": self.after, "as_of": self.as_of.isoformat(), "currency": self.currency,
            **{f"{kind}s": [change.as_dict() for change in self.changes if change.kind == kind]
               for kind in self.unchanged},
            "unchanged": {f"{kind}s": list(names) for kind, names in self.unchanged.items()}, "notes": list(self.notes),
        }  # fmt: skip


def compare_versions(
    store: Store, before: Version, after: Version, asked: datetime | None, now: datetime, only: str | None, most: int
) -> Diff:
    """Compare two versions; `only` names one audience to compare, `most` limits the examples of each movement.

    Raises InvalidInput, which says which version has errors, and NotFound for an audience that neither has.
    """
    old, new = _resolve_valid(before, "before", asked, now, only), _resolve_valid(after, "after", asked, now, only)
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
        unchanged={kind: [name for kind_of_name, name in same if kind_of_name == kind] for kind in KINDS},
        notes=tuple(_notes(before.rulebook, after.rulebook)),
    )


#: The sizes before and after, and who entered and left.
Compared = tuple[int, int, Movement, Movement]


@dataclass(slots=True)
class _Comparer:
    """Compares in one transaction; campaigns that share an audience share the result."""

    connection: Connection
    most: int
    known: dict[Hashable, Compared] = field(default_factory=dict)

    def change(self, key: Key, old: ResolvedAudience | None, new: ResolvedAudience | None) -> Change:
        sides = (old and old.means, new and new.means)
        repeated = sides in self.known
        if not repeated:
            self.known[sides] = self._compared(old, new)
        before, after, entered, left = self.known[sides]
        causes = tuple(differences_in_meaning(old, new)) if old and new else ()
        return Change(*key, before if old else None, after if new else None, entered, left, causes, repeated)

    def _compared(
        self, old: ResolvedAudience | None, new: ResolvedAudience | None
    ) -> tuple[int, int, Movement, Movement]:
        as_of = next(side.as_of for side in (new, old) if side)
        before, after = (self._set(side) for side in (old, new))
        # An audience that is new or gone needs no examples of why.
        most_examples = self.most if old and new else 0
        by_outcome = {
            (move.was, move.now): move
            for move in transitions.moves(self.connection, before, after, (YEAR.before(as_of), as_of), most_examples)
        }
        entered, left, stayed = (by_outcome.get(way) for way in ((None, MAIL), (MAIL, None), (MAIL, MAIL)))
        was, now = (sum(side.customers for side in some if side) for some in ((stayed, left), (stayed, entered)))
        return was, now, self._moved(entered, old, new), self._moved(left, old, new)

    def _set(self, audience: ResolvedAudience | None) -> Outcomes:
        if audience is None:
            return transitions.no_customers()
        return transitions.audience_outcomes(
            audiences.with_statistics(self.connection, audience.compiled), audience.audience.condition
        )

    def _moved(self, move: Transition | None, old: ResolvedAudience | None, new: ResolvedAudience | None) -> Movement:
        if move is None:
            return Movement()
        people = [profiles.profile(self.connection, who) for who in move.examples]
        examples = [
            (str(person.facts["key"]), evaluate.deciding_clause(old.verdict(person), new.verdict(person)))
            for person in people
            if old and new
        ]
        return Movement(move.customers, move.spent, tuple(examples))


def _resolve_valid(
    version: Version, side: str, asked: datetime | None, now: datetime, only: str | None
) -> dict[Key, ResolvedAudience]:
    """Resolve every audience of a version, or one. Raises InvalidInput, which names the version."""
    rules, resolved = version.rulebook, dict[Key, ResolvedAudience]()
    problems = [problem for name, listed in version.broken.items() if not is_independent(name) for problem in listed]
    # While a file that others depend on has errors, all further errors would follow from it.
    if not problems and only is not None:
        resolved, problems = resolve_one(rules, only, asked, now)
    elif not problems:
        resolved, problems = resolve_all(rules, asked, now)
    if only is None or not resolved:
        problems += [problem for listed in version.broken.values() for problem in listed if problem not in problems]
    if problems:
        raise InvalidInput(problems, f"The rules {side} ({version.label}) have errors:")
    return resolved


def _notes(before: Rulebook, after: Rulebook) -> list[str]:
    """Return differences that may move customers later, though no count shows them today."""
    same = before.traits == after.traits
    return [] if same else ["rules/traits differ; both sides are counted with what was inferred last."]


@dataclass(frozen=True, slots=True)
class ResolvedAudience:
    """An audience with the moment that counts as today, and the time zone of its days."""

    audience: Audience
    as_of: datetime
    zone: ZoneInfo

    @property
    def means(self) -> Hashable:
        """Return what decides who belongs: equal for equal meanings."""
        return equality.meaning_key(self.audience.condition), self.as_of, self.zone.key

    @property
    def compiled(self) -> Compiler:
        return audiences.compiler(self.as_of, self.zone)

    def verdict(self, profile: Profile) -> Verdict:
        return Evaluator(profile, self.as_of, self.zone).verdict(self.audience.condition)


def resolve_audience(rules: Rulebook, audience: Audience, asked: datetime | None, now: datetime) -> ResolvedAudience:
    """Resolve an audience as of the company's today."""
    return ResolvedAudience(audience, rules.company.today(asked, now), rules.company.time_zone)


def resolve_all(
    rules: Rulebook, asked: datetime | None, now: datetime
) -> tuple[dict[Key, ResolvedAudience], list[Problem]]:
    """Resolve each audience and each campaign's audience; return them, and all problems of the rules."""
    resolved: dict[Key, ResolvedAudience] = {}
    problems: dict[Problem, None] = {}

    def whole() -> None:
        resolved.update(
            {
                (AUDIENCE, audience.name): resolve_audience(rules, audience, asked, now)
                for audience in rules.book.valid_audiences()
            }
        )
        problems.update(dict.fromkeys(rules.book.problems))

    def one(name: str) -> None:
        read = rules.campaign(name)
        resolved[CAMPAIGN, name] = resolve_audience(rules, read.audience, asked or read.campaign.as_of, now)

    readers: list[Callable[[], None]] = [whole]
    readers += [partial(one, name) for name in _campaigns(rules, problems)]
    for read in readers:
        try:
            read()
        except InvalidInput as error:
            problems.update(dict.fromkeys(error.problems))
    return resolved, list(problems)


def resolve_one(
    rules: Rulebook, name: str, asked: datetime | None, now: datetime
) -> tuple[dict[Key, ResolvedAudience], list[Problem]]:
    """Resolve one audience, if there is one of this name; return it, and the problems of the rules."""
    try:
        known = name in rules.book.names
        return {(AUDIENCE, name): resolve_audience(rules, rules.book.audience(name), asked, now)} if known else {}, []
    except InvalidInput as error:
        return {}, list(error.problems)


def _campaigns(rules: Rulebook, problems: dict[Problem, None]) -> list[str]:
    try:
        return list(rules.campaigns)
    except InvalidInput as error:
        problems.update(dict.fromkeys(error.problems))
        return []


def differences_in_meaning(before: ResolvedAudience, after: ResolvedAudience) -> list[str]:
    """Return what makes two audiences differ: the rule itself, what it names, the time zone, or today."""
    old, new = before.audience, after.audience
    causes = [f"audience '{old.name}' -> '{new.name}'"] if old.name != new.name else []
    if equality.wording_key(old.condition) != equality.wording_key(new.condition) and not causes:
        causes.append("its rule")
    causes += equality.shifted(old.condition, new.condition)
    if before.zone.key != after.zone.key:
        causes.append(f"time zone {before.zone.key} -> {after.zone.key}")
    if before.as_of != after.as_of:
        causes.append(f"today {before.as_of:%Y-%m-%d %H:%M %Z} -> {after.as_of:%Y-%m-%d %H:%M %Z}")
    return causes
