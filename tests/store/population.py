"""Owns populations made up at random and putting them into a database; refuses to know rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from mailshot.profile import lot
from mailshot.store import sql, tables
from mailshot.store.engine import Connection
from tests.store.conditions import AS_OF, CHANNELS, CHOICES, DATES, NUMBERS, TEXTS, TOPICS, sampled

ZONE = ZoneInfo("America/New_York")
MOMENT = timedelta(microseconds=1)
# Where mistakes live: whole days and months before "today", midnights, and the night the clocks went forward.
EDGES = [
    *(
        AS_OF - timedelta(days=days) + shift
        for days in (0, 1, 14, 30, 31, 90, 91, 365)
        for shift in (-MOMENT, timedelta(), MOMENT)
    ),
    *(
        datetime(day.year, day.month, day.day, hour, tzinfo=ZONE).astimezone(UTC)
        for day in DATES
        for hour in (0, 3, 23)
    ),
    AS_OF - timedelta(hours=1),
    AS_OF - timedelta(hours=36),
    AS_OF + timedelta(days=1),
]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Population:
    """Rows of every table that a rule looks at, by table."""

    rows: Mapping[type[Any], Rows]

    @property
    def ids(self) -> list[int]:
        return [row["id"] for row in self.rows[tables.Customer]]

    def put(self, connection: Connection) -> None:
        """Insert everything."""
        for model, rows in self.rows.items():
            if rows:
                connection.execute(sql.table(model).insert(), rows)


def _own(known: Mapping[str, Any]) -> Any:
    """Facts as an import keeps them, some missing or null; and of another type, as left by a changed declaration."""
    odd = [None, 7, 0.5, True, []]
    texts = {name: [] if values is DAY else ["Lit-a", "7"] for name, values in known.items()}
    return st.fixed_dictionaries(
        {}, optional={name: values | sampled(odd + texts[name]) for name, values in known.items()}
    )


NUMBER = sampled([int(number) if number == int(number) else float(number) for number in NUMBERS])
DAY = sampled([day.isoformat() for day in DATES])
TEXT, MAYBE = sampled(TEXTS), st.none() | sampled(TEXTS)
CUSTOMER = st.fixed_dictionaries(
    {
        "country": MAYBE,
        "first_name": MAYBE,
        "joined_at": st.none() | sampled(EDGES),
        "facts": _own({"age": NUMBER, "member": st.booleans(), "born": DAY, "nick": TEXT}),
    }
)
PRODUCT = st.fixed_dictionaries(
    {
        "department": MAYBE,
        "name": MAYBE,
        "price": st.none() | sampled(NUMBERS),
        "facts": _own({"weight": NUMBER, "organic": st.booleans(), "launched": DAY, "label": TEXT}),
    }
)
LINE = st.fixed_dictionaries(
    {
        "order_key": sampled(["o1", "o2", "o3"]),
        "at": sampled(EDGES),
        "channel": st.none() | sampled(CHANNELS),
        "quantity": sampled(NUMBERS[:8]),
        "amount": sampled([Decimal(n) for n in ("-1", "0", "0.1", "0.2", "1", "2.5", "5")]),
    }
)
WORDS = [(name, value) for name, values in CHOICES.items() for value in values]


@st.composite
def populations(draw: st.DrawFn, most: int = 6) -> Population:
    """Give a handful of customers, products, purchases and statements; any of them may be missing."""
    customers = [
        {**row, "id": n, "key": draw(TEXT) + str(n), "lot": lot.lot(str(draw(st.integers(0, 99))))}
        for n, row in enumerate(draw(st.lists(CUSTOMER, max_size=most)), 1)
    ]
    products = [
        {**row, "id": n, "key": f"Lit-{n}", "known": True}
        for n, row in enumerate(draw(st.lists(PRODUCT, max_size=4)), 1)
    ]
    ids, goods = [row["id"] for row in customers], [row["id"] for row in products]
    rows: dict[type[Any], Rows] = {tables.Customer: customers, tables.Product: products}
    rows[tables.Purchase] = _lines(draw, ids, goods) if ids and goods else []
    rows[tables.Consent] = _each(
        draw, ids, TOPICS, lambda topic: {"topic": topic, "given": draw(st.booleans()), "at": AS_OF}
    )
    rows[tables.Preference] = _each(
        draw,
        ids,
        WORDS,
        lambda said: {"name": said[0], "value": said[1], "holds": draw(st.booleans()), "source": "page", "at": AS_OF},
    )
    rows[tables.Trait] = _each(
        draw,
        ids,
        WORDS,
        lambda said: {
            "name": said[0],
            "value": said[1],
            "confidence": draw(sampled((0.3, 0.5, 0.94, 0.95, 1.0))),
            "evidence": {},
            "as_of": AS_OF,
        },
    )
    return Population(rows)


def _lines(draw: st.DrawFn, ids: Sequence[int], goods: Sequence[int]) -> Rows:
    drawn = draw(st.lists(st.tuples(sampled(ids), sampled(goods), LINE), max_size=14))
    return [
        {**line, "customer_id": customer, "product_id": product, "nth": number}
        for number, (customer, product, line) in enumerate(drawn, 1)
    ]


def _each(draw: st.DrawFn, ids: Sequence[int], words: Sequence[Any], made: Any) -> Rows:
    if not ids:
        return []
    pairs = draw(st.lists(st.tuples(sampled(ids), sampled(words)), max_size=6, unique=True))
    return [{"customer_id": customer, **made(word)} for customer, word in pairs]
