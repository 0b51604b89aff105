"""When each campaign of a sender last sent a mail, for the rates that all workers keep together.

The same rule as the script of `deliver.rate_limit.RedisSlots`, for workers without Redis. One transaction takes the
next slots; on PostgreSQL a lock for each sender makes them wait for each other, and the server's clock counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlmodel import Field, SQLModel

from mailshot.store import dialect
from mailshot.store.engine import Connection


class RateSlot(SQLModel, table=True):
    """The last slot of a campaign of a sender and when it last asked for one, in seconds since 1970."""

    __tablename__ = "rate_slot"
    #: The From address in lower case.
    sender: str = Field(primary_key=True)
    campaign: str = Field(primary_key=True)
    last: float
    #: Mails a minute.
    rate: int
    asked: float


SLOT = dialect.table(RateSlot)


@dataclass(frozen=True, slots=True)
class SlotRules:
    """How slots are taken, in seconds: how long before it begins, and when a campaign that no longer asks is over."""

    ahead: float
    active: float


@dataclass(frozen=True, slots=True)
class _Entry:
    last: float
    rate: int
    asked: float


def take(
    connection: Connection,
    sender: str,
    campaign: str,
    rate: int,
    most: int,
    rules: SlotRules,
    clock: Callable[[], float] | None = None,
) -> tuple[float, int]:
    """Take up to `most` slots, `60 / rate` seconds apart; return the seconds until the first one and how many.

    None are taken while the first one is not near. `clock`: seconds since 1970; None: that of the database.
    """
    dialect.advisory_lock(connection, f"rate {sender}")
    now = clock() if clock else _clock(connection)
    rows = connection.execute(select(SLOT.c.campaign, SLOT.c.last, SLOT.c.rate, SLOT.c.asked).where(
        SLOT.c.sender == sender
    ))  # fmt: skip
    entries = {str(row[0]): _Entry(min(float(row[1]), now + rules.ahead), int(row[2]), float(row[3])) for row in rows}
    slot = _next_slot(entries, campaign, rate, now, rules)
    number = min(most, 1 + int((now + rules.ahead - slot) * rate / 60)) if slot - now <= rules.ahead else 0
    own = entries.get(campaign)
    last = slot + (number - 1) * 60 / rate if number else own.last if own else now - 60 / rate
    _store(connection, sender, campaign, _Entry(last, rate, now))
    _drop_ended(connection, sender, entries, now, rules)
    return slot - now, number


def _next_slot(entries: Mapping[str, _Entry], campaign: str, rate: int, now: float, rules: SlotRules) -> float:
    """Return when the campaign may send next: by its own rate, and by the largest rate of its sender."""
    active = [entry.rate for name, entry in entries.items() if name != campaign and entry.asked >= now - rules.active]
    fastest = max([rate, *active])
    own = entries.get(campaign)
    after_own = own.last + 60 / rate if own else now
    return max([now, after_own, *(entry.last + 60 / fastest for entry in entries.values())])


def _store(connection: Connection, sender: str, campaign: str, entry: _Entry) -> None:
    values = {"last": entry.last, "rate": entry.rate, "asked": entry.asked}
    row = dialect.dialect_insert(connection, SLOT).values(sender=sender, campaign=campaign, **values)
    connection.execute(row.on_conflict_do_update(index_elements=["sender", "campaign"], set_=values))


def _drop_ended(
    connection: Connection, sender: str, entries: Mapping[str, _Entry], now: float, rules: SlotRules
) -> None:
    """Delete the campaigns that no longer ask, whose last slot is past."""
    ended = [
        name
        for name, entry in entries.items()
        if entry.asked < now - rules.active and entry.last + 60 / entry.rate < now
    ]
    if ended:
        connection.execute(SLOT.delete().where(SLOT.c.sender == sender, SLOT.c.campaign.in_(ended)))


def _clock(connection: Connection) -> float:
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0)
