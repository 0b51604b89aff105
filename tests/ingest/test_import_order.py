"""Property: in whatever order, files and number of times consents and suppressions come, the outcome is the same.

Customers and addresses of an example have its number in their names, because the log of consents cannot be emptied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailshot.ingest.loaders.consents import CLOCK_TOLERANCE
from mailshot.profile import address
from mailshot.store import tables
from tests.support.import_shop import KEY, Shop

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 27, tzinfo=UTC)
#: Moments around the import and within the tolerance, by a number that stands for the day.
SOON = {1000: NOW, 1001: NOW + timedelta(minutes=1), 1002: NOW + timedelta(minutes=50), 1003: NOW + CLOCK_TOLERANCE}
NUMBERS = count()
#: Two customers share an address, one has none; 'stranger' belongs to none of them.
CUSTOMERS = {"a": "one", "b": "one", "c": "two", "d": ""}
ADDRESSES = ("one", "two", "stranger")
CONSENTS = (
    "kind: consents\n    file: consents-{n}.csv\n    columns: "
    "{{customer: key, email: mail, topic: topic, given: given, at: at, source: source}}"
)
SUPPRESSIONS = "kind: suppressions\n    file: suppressions-{n}.csv\n    columns: {{customer: key, email: mail}}"


@dataclass(frozen=True, slots=True)
class Said:
    """One row of a file. `given` None is a suppression."""

    customer: str
    address: str
    topic: str = "offers"
    given: bool | None = None
    day: int = 0

    def row(self, tag: str) -> str:
        mail = f"{self.address}-{tag}@example.com" if self.address else ""
        key = f"{self.customer}-{tag}" if self.customer else ""
        if self.given is None:
            return f"{key},{mail}\n"
        answer = "yes" if self.given else "no"
        return f"{key},{mail},{self.topic},{answer},{self.moment:%Y-%m-%d %H:%M},s{self.day % 2}\n"

    @property
    def moment(self) -> datetime:
        return SOON.get(self.day, START + timedelta(days=self.day))

    @property
    def entered(self) -> datetime:
        """Return the moment that the import enters for a withdrawal."""
        return min(self.moment, NOW + CLOCK_TOLERANCE)


WHO = st.one_of(
    st.tuples(st.sampled_from(sorted(CUSTOMERS)), st.just("")),
    st.tuples(st.just(""), st.sampled_from(ADDRESSES)),
    st.tuples(st.sampled_from(sorted(CUSTOMERS)), st.sampled_from(ADDRESSES)),
)
CONSENT = st.builds(
    lambda who, topic, given, day: Said(*who, topic, given, day),
    WHO,
    st.sampled_from(["offers", "OFFERS", "tracking"]),
    st.booleans(),
    # Few days, so that some are said at the same moment; one is in the future of the import, some just ahead of it.
    st.sampled_from([0, 1, 2, 3, 400, *SOON]),
)
ROWS = st.lists(st.one_of(CONSENT, st.builds(lambda who: Said(*who), WHO)), min_size=1, max_size=8)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, data=st.data())
def test_any_order_any_files_any_repetition(shop: Shop, rows: list[Said], data: st.DataObject) -> None:
    once, again = f"x{next(NUMBERS)}", f"x{next(NUMBERS)}"
    for tag in (once, again):
        lines = "".join(f"{key}-{tag},{mail and f'{mail}-{tag}@example.com'}\n" for key, mail in CUSTOMERS.items())
        shop.put({"people.csv": f"key,mail\n{lines}"})
        shop.one("kind: customers\n    file: people.csv\n    columns: {key: key, email: mail}")
    load(shop, [rows], once)
    shuffled = data.draw(st.permutations([*rows, *data.draw(st.lists(st.sampled_from(rows), max_size=4))]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=3)))
    edges = zip([0, *cuts], [*cuts, len(shuffled)], strict=True)
    load(shop, [part for begin, end in edges if (part := shuffled[begin:end])], again)
    assert state(shop, again) == state(shop, once)
    assert_never_dropped(state(shop, once), rows)


def load(shop: Shop, files: Iterable[list[Said]], tag: str) -> None:
    """Import these files one after the other, each with its consents and its suppressions."""
    for n, rows in enumerate(files):
        consents = "".join(row.row(tag) for row in rows if row.given is not None)
        suppressions = "".join(row.row(tag) for row in rows if row.given is None)
        shop.put({f"consents-{n}.csv": f"key,mail,topic,given,at,source\n{consents}"})
        shop.put({f"suppressions-{n}.csv": f"key,mail\n{suppressions}"})
        for report in shop.load(CONSENTS.format(n=n), SUPPRESSIONS.format(n=n), now=NOW).imports:
            assert min(report.added, report.changed, report.unchanged, report.repeated, report.rejected) >= 0
            parts = report.added + report.changed + report.unchanged + report.repeated + report.rejected
            assert parts == report.read


def state(shop: Shop, tag: str) -> dict[str, Any]:
    """Return what is kept of the customers and addresses with this tag, without the tag."""
    keys = {who: key.removesuffix(f"-{tag}") for who, key in shop.rows(tables.Customer, "id", "key")}
    keys = {who: key for who, key in keys.items() if key in CUSTOMERS}
    names = {address.hash_address(KEY, f"{name}-{tag}@example.com"): name for name in ADDRESSES}
    consents = shop.rows(tables.Consent, "customer_id", "topic", "given", "at")
    withdrawals = shop.rows(tables.AddressWithdrawal, "address_hash", "topic", "at", "source")
    suppressed = shop.rows(tables.Suppression, "address_hash")
    return {
        "consents": {(keys[who], topic): (given, at) for who, topic, given, at in consents if who in keys},
        "withdrawals": {
            (names[address_hash], topic): rest for address_hash, topic, *rest in withdrawals if address_hash in names
        },
        "suppressed": {names[address_hash] for (address_hash,) in suppressed if address_hash in names},
    }


def assert_never_dropped(held: dict[str, Any], rows: list[Said]) -> None:
    """Check that each withdrawal stands, unless something newer of the same person gives consent."""
    for row in rows:
        moment, topic = row.entered, row.topic.lower()
        if row.given is None and row.address:
            assert row.address in held["suppressed"]
        if row.given is not False:
            continue
        if row.address:
            assert held["withdrawals"][row.address, topic][0] >= moment
        theirs = {row.customer} if row.customer else {key for key, mail in CUSTOMERS.items() if mail == row.address}
        for key in theirs:
            given, at = held["consents"][key, topic]
            assert at >= moment
            assert not given or at > moment
