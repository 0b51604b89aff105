"""Random populations of customers, and how they are written to a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from mailshot.profile import bucketing
from mailshot.states import AnswerState
from mailshot.store import dialect, purchase_totals, tables
from mailshot.store.answers import AnswerEntry
from mailshot.store.engine import Connection
from tests.support.answers import replay
from tests.support.conditions import AS_OF, CHANNELS, CHOICES, DATES, EVENTS, NUMBERS, TEXTS, TOPICS, sampled

ZONE = ZoneInfo("America/New_York")
ZONES = ("America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Oslo", "no such zone")
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
    *(
        datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC) + shift
        for day in (AS_OF - timedelta(days=days) for days in (0, 1, 14))
        for zone in ZONES[1:-1]
        for shift in (-MOMENT, timedelta())
    ),
    AS_OF - timedelta(hours=1),
    AS_OF - timedelta(hours=36),
    AS_OF + timedelta(days=1),
]
# What a look back must tell apart: long before, just before, at, and after "today".
SAID = [AS_OF - timedelta(days=90), AS_OF - timedelta(days=1), AS_OF - MOMENT, AS_OF, AS_OF + timedelta(days=1)]
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
                connection.execute(dialect.table(model).insert(), rows)
        purchase_totals.refresh(connection)


def _own(known: Mapping[str, Any]) -> Any:
    """Facts as an import keeps them, some missing or null; and of another type, as left by a changed declaration."""
    odd = [None, 7, 0.5, True, []]
    texts = ["Lit-a", "7", "unknown", "01.02.1990", "12026-04-07", "1990-02-31", "1990-02-29", "0000-01-01", "20260331"]
    return st.fixed_dictionaries({}, optional={name: values | sampled(odd + texts) for name, values in known.items()})


AT = sampled(EDGES)
NUMBER = sampled([int(number) if number == int(number) else float(number) for number in NUMBERS])
DAY = sampled([day.isoformat() for day in DATES])
TEXT, MAYBE = sampled(TEXTS), st.none() | sampled(TEXTS)
CUSTOMER = st.fixed_dictionaries(
    {
        "country": MAYBE,
        "first_name": MAYBE,
        "joined_at": st.none() | sampled(EDGES),
        "time_zone": st.none() | sampled(ZONES),
        "address_hash": st.none() | sampled(["shared", "another"]),
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
        "quantity": sampled([Decimal(n) for n in ("-3", "-1", "0", "0.1", "0.5", "1", "2", "2.5", "3")]),
        "amount": sampled([Decimal(n) for n in ("-2.5", "-1", "0", "0.1", "0.2", "1", "2.5", "5")]),
    }
)
# Of a purchase that is there: all of it, some, or more than was bought; at its price, in its order, later, or not.
BACK = st.fixed_dictionaries(
    {"at": sampled(EDGES)},
    optional={
        "order_key": sampled(["o1", "o3", "r"]),
        "channel": st.none() | sampled(CHANNELS),
        "quantity": sampled([Decimal(n) for n in ("-0.1", "-0.5", "-1", "-2", "-9")]),
        "amount": sampled([Decimal(n) for n in ("-5", "-1", "-0.3333", "0", "1")]),
    },
)
WORDS = [(name, value) for name, values in CHOICES.items() for value in values]


@st.composite
def populations(draw: st.DrawFn, most: int = 6) -> Population:
    """Give a handful of customers, products, purchases and statements; any of them may be missing."""
    customers = [
        {**row, "id": n, "key": draw(TEXT) + str(n), "lot": bucketing.bucket(str(draw(st.integers(0, 99))))}
        for n, row in enumerate(draw(st.lists(CUSTOMER, max_size=most)), 1)
    ]
    products = [
        {**row, "id": n, "key": f"Lit-{n}", "known": True}
        for n, row in enumerate(draw(st.lists(PRODUCT, max_size=4)), 1)
    ]
    ids, goods = [row["id"] for row in customers], [row["id"] for row in products]
    rows: dict[type[Any], Rows] = {tables.Customer: customers, tables.Product: products}
    rows[tables.Purchase] = _lines(draw, ids, goods) if ids and goods else []
    rows |= _happenings(draw, ids, goods)
    rows[tables.ConsentLog] = _each(
        draw,
        ids,
        [(topic, at, given) for topic in TOPICS for at in SAID for given in (True, False)],
        lambda statement: {
            "topic": statement[0],
            "at": statement[1],
            "given": statement[2],
            "source": "page",
            "proof": {},
        },
        most=10,
    )
    rows[tables.Consent] = _newest(rows[tables.ConsentLog])
    rows[tables.AddressWithdrawal] = [
        {"address_hash": name, "topic": "tracking", "at": draw(sampled(SAID)), "source": "import"}
        for name in draw(st.lists(sampled(["shared", "another"]), max_size=1))
    ]
    rows[AnswerEntry] = _each(
        draw,
        ids,
        [(*word, at, state) for word in WORDS for at in SAID for state in AnswerState],
        lambda answer: {
            "question": answer[0],
            "value": answer[1],
            "at": answer[2],
            "state": answer[3],
            "source": "page",
        },
        most=12,
    )
    rows[tables.Preference] = [
        {"customer_id": who, "name": name, "value": value, "holds": holds, "source": "page", "at": AS_OF}
        for who in ids
        for (name, value), holds in replay(rows[AnswerEntry], who).items()
    ]
    rows[tables.Trait] = _each(
        draw,
        ids,
        WORDS,
        lambda statement: {
            "name": statement[0],
            "value": statement[1],
            "confidence": draw(sampled((0.3, 0.5, 0.94, 0.95, 1.0))),
            "evidence": {},
            "as_of": AS_OF,
        },
    )
    return Population(rows)


def _happenings(draw: st.DrawFn, ids: Sequence[int], goods: Sequence[int]) -> dict[type[Any], Rows]:
    """Give events, conversations, referrals, and the mails of two runs with what came back."""

    def some(model: type[Any], most: int = 6, **columns: Any) -> Rows:
        drawn = draw(st.lists(st.fixed_dictionaries(columns), max_size=most)) if ids else []
        return [{"customer_id": draw(sampled(ids)), "key": f"Lit-{n}", **row} for n, row in enumerate(drawn)]

    own = _own({"seconds": NUMBER, "page": TEXT})
    talk = _own({"agent": TEXT, "minutes": NUMBER})
    amount = st.none() | sampled([Decimal(n) for n in ("-1", "0", "0.1", "1", "5")])
    events, runs = sampled((*EVENTS, "undeclared")), sampled((1, 2))
    kinds = sampled(("opened", "clicked", "converted", "bounced"))
    rows: dict[type[Any], Rows] = {
        tables.Event: some(
            tables.Event, name=events, at=AT, product_id=sampled([None, *goods]), amount=amount, facts=own
        ),
        tables.Interaction: some(
            tables.Interaction,
            kind=sampled(TEXTS),
            at=AT,
            direction=st.none() | sampled(("in", "out")),
            outcome=MAYBE,
            facts=talk,
        ),
        tables.Run: [
            {"id": 1, "campaign": "Lit-a", "topic": "offers", "definition": "", "as_of": AS_OF, "state": "finished"},
            {"id": 2, "campaign": "Lit-é", "topic": "recipes", "definition": "", "as_of": AS_OF, "state": "running"},
        ],
        tables.Link: [{"id": 1, "url": "Lit-a/x"}, {"id": 2, "url": "Lit-é"}],
        tables.Feedback: some(
            tables.Feedback,
            run_id=st.none() | runs,
            kind=kinds,
            at=AT,
            link_id=st.none() | sampled((1, 2)),
            by=sampled(("human", "proxy", "scanner", "unknown")),
        ),
    }
    pairs = draw(st.lists(st.tuples(runs, sampled(ids)), max_size=6, unique=True)) if ids else []
    states = sampled(("sent", "sent", "skipped", "pending"))
    rows[tables.Delivery] = [
        {"run_id": run, "customer_id": who, "state": draw(states), "content": draw(sampled(("Lit-a", "Lit-x", None))),
         "settled_at": draw(st.none() | AT)}
        for run, who in pairs
    ]  # fmt: skip
    friends = draw(st.lists(st.tuples(sampled(ids), sampled(ids)), max_size=5, unique=True)) if ids else []
    rows[tables.Referral] = [
        {"customer_id": who, "referred_id": friend, "at": draw(AT), "source": draw(MAYBE)} for who, friend in friends
    ]
    return rows


def _lines(draw: st.DrawFn, ids: Sequence[int], goods: Sequence[int]) -> Rows:
    drawn = draw(st.lists(st.tuples(sampled(ids), sampled(goods), LINE), max_size=14))
    bought = [{**line, "customer_id": customer, "product_id": product} for customer, product, line in drawn]
    back = draw(st.lists(st.tuples(sampled(bought), BACK), max_size=8)) if bought else []
    returned = [{**line, "quantity": -line["quantity"], "amount": -line["amount"], **how} for line, how in back]
    return [{**line, "nth": number} for number, line in enumerate([*bought, *returned], 1)]


def _newest(log: Rows) -> Rows:
    """The entry that counts for each customer and topic; of two at one moment, the withdrawal."""
    newest: dict[tuple[int, str], dict[str, Any]] = {}
    for entry in sorted(log, key=lambda entry: (entry["at"], not entry["given"])):
        newest[entry["customer_id"], entry["topic"]] = {
            name: entry[name] for name in ("customer_id", "topic", "given", "at")
        }
    return list(newest.values())


def _each(draw: st.DrawFn, ids: Sequence[int], values: Sequence[Any], made: Any, most: int = 6) -> Rows:
    if not ids:
        return []
    pairs = draw(st.lists(st.tuples(sampled(ids), sampled(values)), max_size=most, unique=True))
    return [{"customer_id": customer, **made(word)} for customer, word in pairs]
