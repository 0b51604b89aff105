"""Owns the rows that could keep a campaign's mail from one customer; refuses to decide (plans does, for everybody)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select

from mailshot.store import plans
from mailshot.store.audiences import SCHEMA
from mailshot.store.engine import Connection
from mailshot.store.plans import DELIVERY, RECEIVED, RUN, SUPPRESSION


@dataclass(frozen=True, slots=True)
class Obstacles:
    """`suppression` is why the address must not be mailed; `mails` are the runs that mailed, newest first."""

    email: str | None
    suppression: str | None
    mails: Sequence[RowMapping]

    def since(self, moment: datetime) -> list[RowMapping]:
        """Return the mails of runs from a moment on."""
        return [mail for mail in self.mails if mail["as_of"] >= moment]

    def of(self, campaign: str, since: datetime | None, as_of: datetime) -> list[RowMapping]:
        """Return the mails of one campaign that count as received `since` a moment (see plans); None: since ever."""
        mine = [mail for mail in self.mails if mail["campaign"] == campaign]
        return mine if since is None else [mail for mail in mine if _lately(mail, since, as_of)]


def _lately(mail: RowMapping, since: datetime, as_of: datetime) -> bool:
    sent = mail["settled_at"]
    delayed = sent is not None and plans.delayed(since, as_of) < sent <= as_of
    return bool(mail["as_of"] > since or mail["state"] in plans.WAITING or delayed)


def of(connection: Connection, customer_id: int, before: datetime | None, but: int | None = None) -> Obstacles:
    """Return what stands in the way of one customer: known `before`, and without the run `but` itself."""
    customer = SCHEMA.customer.c
    row = connection.execute(select(customer.email, customer.address_hash).where(customer.id == customer_id)).one()
    held = select(SUPPRESSION.c.reason).where(SUPPRESSION.c.address_hash == row.address_hash)
    suppression = connection.scalar(_before(held, SUPPRESSION.c.at, before)) if row.address_hash else None
    columns = (RUN.c.id, RUN.c.campaign, RUN.c.as_of, DELIVERY.c.state, DELIVERY.c.settled_at)
    got = select(*columns).join(DELIVERY, DELIVERY.c.run_id == RUN.c.id)
    got = got.where(DELIVERY.c.customer_id == customer_id, DELIVERY.c.state.in_(RECEIVED))
    if but is not None:
        got = got.where(RUN.c.id != but)
    mails = connection.execute(_before(got, RUN.c.launched_at, before).order_by(RUN.c.as_of.desc())).mappings().all()
    return Obstacles(row.email, suppression, mails)


def _before(rows: Any, column: Any, before: datetime | None) -> Any:
    return rows if before is None else rows.where(column < before)
