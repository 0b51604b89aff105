"""Whoever may be mailed follows from what was said, not from the order, the number or the files in which it came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailshot.audience.nodes import Everyone
from mailshot.ingest.loaders.consents import CLOCK_TOLERANCE
from mailshot.profile import topics as decision
from mailshot.profile.topics import ConsentEntry
from mailshot.store import audiences, consent, dialect, plans, tables
from mailshot.store.eligibility import Gates
from mailshot.store.engine import Store
from mailshot.store.plan_gates import ContentChoice, PlanSpec
from tests.support.import_shop import Shop

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
#: Two accounts at one address (in two spellings), one alone, and an address that no customer has.
PEOPLE = {"Q1": "guest@example.com", "Q2": "Guest@Example.COM", "Q3": "alone@example.com", "Q4": None}
ADDRESSES = ("guest@example.com", "GUEST@example.com", "alone@example.com", "nobody@example.com")
CUSTOMERS = "kind: customers\n    file: people.csv\n    columns: {key: id, email: mail}"
BY_KEY = (
    "kind: consents\n    file: {file}\n"
    "    columns: {{customer: who, topic: topic, given: given, at: at, source: {{value: t}}}}"
)
BY_ADDRESS = BY_KEY.replace("customer: who", "email: who")
SUPPRESSIONS = "kind: suppressions\n    file: {file}\n    columns: {{email: who, reason: reason, at: at}}"


@dataclass(frozen=True)
class Said:
    """One row: a consent by key or by address, or (`given` is None) a suppression."""

    who: str
    given: bool | None
    #: How long before the import; below zero is after it. None: the cell says no time (of withdrawals alone).
    ago: timedelta | None

    @property
    def by_address(self) -> bool:
        return "@" in self.who

    @property
    def cell(self) -> str:
        return "" if self.ago is None else (NOW - self.ago).isoformat()

    @property
    def at(self) -> datetime:
        """Return the moment that counts."""
        latest = NOW + CLOCK_TOLERANCE
        return latest if self.ago is None else min(NOW - self.ago, latest)

    @property
    def taken(self) -> bool:
        """Return whether the import takes the row: no consent is given beyond the tolerance of clocks."""
        return not self.given or (self.ago is not None and -self.ago <= CLOCK_TOLERANCE)


DAYS = st.integers(1, 4).map(lambda days: timedelta(days=days))
MINUTES = st.sampled_from([1, 0, -1, -50, -60, -61, -90]).map(lambda minutes: timedelta(minutes=minutes))
AGO = st.one_of(DAYS, MINUTES)
ANYBODY = st.sampled_from([*PEOPLE, *ADDRESSES])
CONSENTS = st.builds(Said, ANYBODY, st.booleans(), AGO)
UNTIMED = st.builds(Said, ANYBODY, st.just(False), st.none())
HELD = st.builds(Said, st.sampled_from(ADDRESSES), st.none(), DAYS)
STORIES = st.lists(st.one_of(CONSENTS, CONSENTS, CONSENTS, UNTIMED, HELD), max_size=8)


def _expected(story: Sequence[Said]) -> set[str]:
    """Work out by hand who may be mailed."""
    mailed = set()
    for key, address in PEOPLE.items():
        if address is None:
            continue
        mates = [mate for mate, theirs in PEOPLE.items() if theirs and theirs.lower() == address.lower()]
        suppressed = any(entry.given is None and entry.who.lower() == address.lower() for entry in story)
        if not suppressed and _newest(story, key) is True and all(_newest(story, mate) is not False for mate in mates):
            mailed.add(key)
    return mailed


def _newest(story: Sequence[Said], key: str) -> bool | None:
    """What a customer said last, by key or for the address; of two at one moment the withdrawal counts."""
    address = (PEOPLE[key] or "").lower()
    theirs = (key.lower(), address)
    mine = [entry for entry in story if entry.given is not None and entry.taken and entry.who.lower() in theirs]
    last = max(mine, key=lambda entry: (entry.at, not entry.given), default=None)
    return last.given if last else None


def _load(shop: Shop, story: Sequence[Said], number: int) -> None:
    """Import a part of the story: a file for each way of naming people."""
    kinds = [(BY_KEY, "given", lambda entry: entry.given is not None and not entry.by_address)]
    kinds.append((BY_ADDRESS, "given", lambda entry: entry.given is not None and entry.by_address))
    kinds.append((SUPPRESSIONS, "reason", lambda entry: entry.given is None))
    for turn, (mapping, column, meant) in enumerate(kinds):
        rows = [entry for entry in story if meant(entry)]
        if rows:
            file = f"part-{number}-{turn}.csv"
            values = {True: "yes", False: "no", None: "hard bounce"}
            lines = [f"{entry.who},offers,{values[entry.given]},{entry.cell}" for entry in rows]
            shop.put({file: "\n".join([f"who,topic,{column},at", *lines]) + "\n"})
            shop.load(mapping.format(file=file), now=NOW)


def _mailed(store: Store) -> set[str]:
    question = PlanSpec(
        "week", Everyone(0), Gates("offers", True), (ContentChoice("all", None),), holdout=0, repeats=True
    )
    customer = dialect.table(tables.Customer)
    with store.read() as connection:
        keys = {row.id: row.key for row in connection.execute(customer.select())}
        verdicts = connection.execute(plans.select_decisions(audiences.compiler(NOW, NOW.tzinfo), question)).all()  # type: ignore[arg-type]
    return {keys[number] for number, _, reason in verdicts if reason is None}


def _emptied(shop: Shop) -> None:
    kept = [tables.Consent, tables.AddressWithdrawal, tables.Suppression, tables.Customer]
    with shop.store.write() as connection:
        for model in kept:
            connection.execute(dialect.table(model).delete())
    rows = [f"{key},{address or ''}" for key, address in PEOPLE.items()]
    shop.put({"people.csv": "\n".join(["id,mail", *rows]) + "\n"})
    shop.load(CUSTOMERS, now=NOW)


@given(story=STORIES, data=st.data())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_order_of_imports_changes_nobody(
    store: Store, tmp_path: Path, story: list[Said], data: st.DataObject
) -> None:
    shop = Shop(tmp_path, store)
    shuffled = data.draw(
        st.permutations(story + data.draw(st.lists(st.sampled_from(story), max_size=3)) if story else [])
    )
    cut = data.draw(st.integers(0, len(shuffled)))
    for parts in ([story], [shuffled[:cut], shuffled[cut:]]):
        _emptied(shop)
        for number, part in enumerate(parts):
            _load(shop, part, number)
        assert _mailed(store) == _expected(story)


@given(story=STORIES)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_reading_a_file_again_never_undoes_what_was_withdrawn_since(
    store: Store, tmp_path: Path, story: list[Said]
) -> None:
    shop = Shop(tmp_path, store)
    _emptied(shop)
    _load(shop, story, 0)
    for who, _ in shop.rows(tables.Customer, "id", "key"):
        with store.write() as connection:
            entry: ConsentEntry | None = consent.binding_entries(connection, who).get("offers")
            moment = decision.effective_at(entry, NOW + timedelta(minutes=1))
            consent.record_consent(connection, who, "offers", False, moment, "click")
    _load(shop, story, 1)
    assert _mailed(store) == set()
