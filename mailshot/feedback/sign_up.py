"""Signs visitors up for topics: one mail with a link, and the consent when the link's page is confirmed.

A confirmed sign-up comes from the mailbox itself, so it counts more than earlier answers: it lifts a withdrawal of
the same topics, for every customer at the address, and the suppression that an erasure left. It lifts no bounce, no
complaint and no suppression by hand; such addresses do not even get the mail. Start at `ask` and `confirm`.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mailshot.profile import address
from mailshot.profile.topics import effective_at
from mailshot.store import consent, dialect, erasures, sign_ups, suppressed_digests, suppression
from mailshot.store.engine import Connection
from mailshot.store.sign_ups import NewSignUp, SignUp, SignUpLimits

SOURCE = "sign-up"
CLIENT_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class SignUpRequest:
    """What a visitor asked for. `client` is the network address, of which only a keyed hash is kept."""

    email: str
    topics: Collection[str]
    form: str
    language: str
    client: str
    #: The sender of the mail, with the fields of rules/senders.yaml.
    sender: Mapping[str, Any]


def ask(connection: Connection, request: SignUpRequest, address_key: bytes, limits: SignUpLimits, at: datetime) -> bool:
    """Store a sign-up; return False if its client, or all clients together, signed up too often.

    The result never depends on whether the address is known.
    """
    # Before any lock on customers, as in `confirm`.
    dialect.advisory_lock(connection, sign_ups.LOCK)
    hashed = address.hash_address(address_key, request.email)
    is_listed = suppressed_digests.suppress_if_listed(connection, request.email, hashed)
    suppressed = suppression.find_suppression(connection, hashed)
    client = hmac.digest(address_key, b"client:" + request.client.encode("utf-8", "replace"), "sha256").hex()
    new = NewSignUp(
        email=request.email,
        address_hash=hashed,
        client_hash=client[:CLIENT_HASH_DIGITS],
        language=request.language,
        topics=request.topics,
        form=request.form,
        sender=request.sender,
        may_mail=not is_listed and (suppressed is None or suppressed["reason"] == suppression.ERASED),
    )
    return sign_ups.add(connection, new, limits, at)


@dataclass(frozen=True, slots=True)
class ConfirmationRequest:
    """The confirmation of a sign-up: the numbers of its link, and the topics and words on the button's page."""

    sign_up_id: int
    mailbox: int
    topics: Collection[str]
    wording: str
    at: datetime


def confirm(connection: Connection, request: ConfirmationRequest, valid: timedelta) -> SignUp | None:
    """Record the consents that a sign-up asked for, and return it; None when its link has ended.

    Confirming again changes nothing.
    """
    dialect.advisory_lock(connection, sign_ups.LOCK)
    sign_up = _find(connection, request, valid)
    if sign_up is None:
        return None
    # Before the row of the sign-up, as an erasure does, which may have deleted it by now.
    dialect.lock_customers(connection, sign_ups.customers_at(connection, sign_up.address_hash), alone=True)
    if not sign_ups.confirm(connection, request.sign_up_id, request.at):
        return _find(connection, request, valid)
    _readmit(connection, sign_up.address_hash, request.at)
    if sign_up.email:
        # A list may have been imported since the request.
        suppressed_digests.suppress_if_listed(connection, sign_up.email, sign_up.address_hash)
    customers = sign_ups.customers_at(connection, sign_up.address_hash) or [
        sign_ups.add_customer(connection, sign_up, request.at)
    ]
    proof = {
        "method": "double opt-in",
        "form": sign_up.form,
        "wording": request.wording,
        "language": sign_up.language,
        "client": sign_up.client_hash,
        "asked_at": sign_up.asked_at.isoformat(),
        "confirmed_at": request.at.isoformat(),
    }
    for customer_id in customers:
        known = consent.binding_entries(connection, customer_id)
        for topic in sorted(set(sign_up.topics) & set(request.topics)):
            moment = effective_at(known.get(topic), request.at)
            consent.record_consent(connection, customer_id, topic, True, moment, SOURCE, proof)
    return sign_up


def _find(connection: Connection, request: ConfirmationRequest, valid: timedelta) -> SignUp | None:
    return sign_ups.find(connection, request.sign_up_id, request.mailbox, request.at - valid)


def _readmit(connection: Connection, address_hash: str, at: datetime) -> None:
    """Let an address be mailed again whose customer was erased, and signs up now."""
    suppressed = suppression.find_suppression(connection, address_hash)
    if suppressed is not None and suppressed["reason"] == suppression.ERASED:
        erasures.welcome_back(connection, address_hash, at)
        suppression.lift_suppression(connection, address_hash)
