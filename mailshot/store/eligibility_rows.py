"""The rows that the gates of `eligibility` test, read for one customer to explain a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, select

from mailshot.states import RECEIVED, UNSENT, DeliveryState
from mailshot.store import answers, consent, inboxes, pauses, sent_mail
from mailshot.store.audiences import SCHEMA
from mailshot.store.eligibility import DELIVERY, RUN, SUPPRESSION
from mailshot.store.engine import Connection
from mailshot.store.sent_mail import SENT_AT


@dataclass(frozen=True, slots=True)
class EarlierMail:
    """A mail that an inbox got, or is about to get."""

    run_id: int
    campaign: str
    #: "Today" in the rules of its run.
    as_of: datetime
    #: Mail on a topic that needs no consent, which no cap of other campaigns counts.
    service: bool
    state: DeliveryState
    #: On the calendar of its run (see `sent_mail.SENT_AT`); `as_of` while the mail is not sent.
    sent_at: datetime

    def counts(self, since: datetime, as_of: datetime) -> bool:
        """Return whether the mail counts in a window that began `since`, as `sent_mail.recent` decides in SQL."""
        return self.as_of > since or self.sent_at > since + sent_mail.tolerance(since, as_of)


@dataclass(frozen=True, slots=True)
class EligibilityRows:
    """The rows that the gates test for one customer: those of the customer's inbox."""

    email: str | None
    #: Why the address must not be mailed, None when it may be.
    suppression: str | None
    #: Keys of the other customers with the same address.
    mates: Sequence[str]
    #: Pairs a topic with the key of the other customer who withdrew it; None: withdrawn for the address itself.
    withdrawn: Sequence[tuple[str, str | None]]
    #: (name, value) of the preferences that hold for any customer of the inbox.
    answers: frozenset[tuple[str, str]]
    #: The latest end of the pauses that customers of the inbox asked for, None without any.
    paused_until: datetime | None
    #: Newest first.
    mails: Sequence[EarlierMail]

    def since(self, moment: datetime, as_of: datetime, service: bool = False) -> list[EarlierMail]:
        """Return the mails that count from a moment on; `service` includes service mail."""
        return [mail for mail in self.mails if mail.counts(moment, as_of) and (service or not mail.service)]

    def of(self, campaign: str, since: datetime | None, as_of: datetime) -> list[EarlierMail]:
        """Return the mails of one campaign that count as received `since` a moment; None: at any time."""
        of_campaign = [mail for mail in self.mails if mail.campaign == campaign]
        if since is None:
            return of_campaign
        return [mail for mail in of_campaign if mail.counts(since, as_of) or mail.state in UNSENT]


def read_rows(
    connection: Connection, customer_id: int, before: datetime | None, but: int | None = None
) -> EligibilityRows:
    """Read the rows of one customer: only what was known `before` (None: all), and without the run `but`."""
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
        withdrawn=[
            (withdrawal.topic, withdrawal.key)
            for withdrawal in consent.address_withdrawals(connection, customer_id, before)
        ],
        answers=_answers(connection, list(inbox), before),
        paused_until=pauses.paused_until(connection, list(inbox), before),
        mails=_mails(connection, customer_id, list(inbox), before, but),
    )


def earlier(connection: Connection, customer_id: int) -> list[int]:
    """Return the other customers with the same address who come before this one: the first of them is mailed."""
    mine, theirs = SCHEMA.customer.alias("mine"), SCHEMA.customer.alias("theirs")
    same = and_(theirs.c.address_hash == mine.c.address_hash, theirs.c.id < mine.c.id)
    others = select(theirs.c.id).select_from(mine.join(theirs, same)).where(mine.c.id == customer_id)
    return [int(number) for number in connection.scalars(others.order_by(theirs.c.id))]


def _answers(connection: Connection, inbox: list[int], before: datetime | None) -> frozenset[tuple[str, str]]:
    stated = answers.stated(before).c
    holding = select(stated.name, stated.value).where(stated.customer_id.in_(inbox), stated.holds.is_(True))
    return frozenset((row.name, row.value) for row in connection.execute(holding))


def _mails(
    connection: Connection, customer_id: int, inbox: list[int], before: datetime | None, but: int | None
) -> list[EarlierMail]:
    got = select(RUN.c.id, RUN.c.campaign, RUN.c.as_of, RUN.c.service, DELIVERY.c.state, SENT_AT.label("sent_at"))
    got = got.join(DELIVERY, DELIVERY.c.run_id == RUN.c.id)
    got = got.where(inboxes.mails_of(customer_id, inbox), DELIVERY.c.state.in_(RECEIVED))
    if but is not None:
        got = got.where(RUN.c.id != but)
    ordered = _before(got, RUN.c.launched_at, before).order_by(SENT_AT.desc(), RUN.c.id.desc())
    return [
        EarlierMail(row.id, row.campaign, row.as_of, row.service, DeliveryState.of(row.state), row.sent_at)
        for row in connection.execute(ordered)
    ]


def _before(rows: Select[Any], column: ColumnElement[Any], before: datetime | None) -> Select[Any]:
    return rows if before is None else rows.where(column < before)
