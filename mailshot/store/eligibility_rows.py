"""What could keep a campaign's mail from one customer, as rows: plans decide, this is for explaining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, select

from mailshot.states import RECEIVED, UNSENT
from mailshot.store import consent, eligibility, inboxes
from mailshot.store.audiences import SCHEMA
from mailshot.store.eligibility import DELIVERY, PREFERENCE, RUN, SENT_AT, SUPPRESSION
from mailshot.store.engine import Connection


@dataclass(frozen=True, slots=True)
class EligibilityRows:
    """All that binds the inbox of one customer.

    `suppression` is why the address must not be mailed, None when it may. `mates` are the keys of the other customers
    with the same address. `withdrawn` pairs a topic with the key of the other customer who withdrew it, or None where
    the withdrawal names the address itself. `answers` are the preferences that anybody there stated, as (name, value).
    `mails` are the mails of the inbox, newest first: id, campaign and `as_of` of the run, `sent_at`, the state, and
    whether it is service mail.
    """

    email: str | None
    suppression: str | None
    mates: Sequence[str]
    withdrawn: Sequence[tuple[str, str | None]]
    answers: frozenset[tuple[str, str]]
    mails: Sequence[RowMapping]

    def since(self, moment: datetime, as_of: datetime, service: bool = False) -> list[RowMapping]:
        """Return the mails that count from a moment on, as a plan counts them; service mail only when asked for."""
        return [mail for mail in self.mails if _recent(mail, moment, as_of) and (service or not mail["service"])]

    def of(self, campaign: str, since: datetime | None, as_of: datetime) -> list[RowMapping]:
        """Return the mails of one campaign that count as received `since` a moment; None: since ever."""
        mine = [mail for mail in self.mails if mail["campaign"] == campaign]
        if since is None:
            return mine
        return [mail for mail in mine if _recent(mail, since, as_of) or mail["state"] in UNSENT]


def _recent(mail: RowMapping, since: datetime, as_of: datetime) -> bool:
    late = mail["sent_at"] > since + eligibility.tolerance(since, as_of)
    return bool(mail["as_of"] > since or late)


def of(connection: Connection, customer_id: int, before: datetime | None, but: int | None = None) -> EligibilityRows:
    """Return what stands in the way of one customer: known `before`, and without the run `but` itself."""
    customer = SCHEMA.customer.c
    row = connection.execute(select(customer.email, customer.address_hash).where(customer.id == customer_id)).one()
    inbox = {customer_id: ""}
    if row.address_hash:
        mates = select(customer.id, customer.key).where(customer.address_hash == row.address_hash)
        inbox |= {int(mate.id): str(mate.key) for mate in connection.execute(mates.order_by(customer.id))}
    held = select(SUPPRESSION.c.reason).where(SUPPRESSION.c.address_hash == row.address_hash)
    return EligibilityRows(
        email=row.email,
        suppression=connection.scalar(_before(held, SUPPRESSION.c.at, before)) if row.address_hash else None,
        mates=[key for number, key in inbox.items() if number != customer_id],
        withdrawn=[(found.topic, found.key) for found in consent.withdrawals(connection, customer_id, before)],
        answers=_answers(connection, list(inbox), before),
        mails=_mails(connection, customer_id, list(inbox), before, but),
    )


def earlier(connection: Connection, customer_id: int) -> list[int]:
    """Return the other customers with the same address who come before this one: the first of them is mailed."""
    mine, theirs = SCHEMA.customer.alias("mine"), SCHEMA.customer.alias("theirs")
    same = and_(theirs.c.address_hash == mine.c.address_hash, theirs.c.id < mine.c.id)
    found = select(theirs.c.id).select_from(mine.join(theirs, same)).where(mine.c.id == customer_id)
    return [int(number) for number in connection.scalars(found.order_by(theirs.c.id))]


def _answers(connection: Connection, inbox: list[int], before: datetime | None) -> frozenset[tuple[str, str]]:
    p = PREFERENCE.c
    said = select(p.name, p.value).where(p.customer_id.in_(inbox), p.holds.is_(True))
    return frozenset((row[0], row[1]) for row in connection.execute(_before(said, p.at, before)))


def _mails(
    connection: Connection, customer_id: int, inbox: list[int], before: datetime | None, but: int | None
) -> Sequence[RowMapping]:
    got = select(RUN.c.id, RUN.c.campaign, RUN.c.as_of, RUN.c.service, DELIVERY.c.state, SENT_AT.label("sent_at"))
    got = got.join(DELIVERY, DELIVERY.c.run_id == RUN.c.id)
    got = got.where(inboxes.mails_of(customer_id, inbox), DELIVERY.c.state.in_(RECEIVED))
    if but is not None:
        got = got.where(RUN.c.id != but)
    ordered = _before(got, RUN.c.launched_at, before).order_by(SENT_AT.desc(), RUN.c.id.desc())
    return connection.execute(ordered).mappings().all()


def _before(rows: Select[Any], column: ColumnElement[Any], before: datetime | None) -> Select[Any]:
    return rows if before is None else rows.where(column < before)
