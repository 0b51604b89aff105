"""Takes events of mail providers from a verified webhook request and applies them.

An event is stored under the provider's id in the same transaction as its effects, so repeating it has none. Opens,
clicks and deliveries are not stored by themselves: they are too many, and repeating them does nothing anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from mailshot.feedback import incoming_effects, tracking
from mailshot.feedback.tracking import Fetch
from mailshot.incoming import attribution
from mailshot.incoming.attribution import VerifiedToken
from mailshot.incoming.parser import PARSER_VERSION, IncomingMessage
from mailshot.render import links
from mailshot.states import Confidence, FeedbackKind, IncomingKind, IncomingSource
from mailshot.store import incoming_mail, webhook_tokens
from mailshot.store.engine import Connection
from mailshot.store.incoming_mail import RawMail, StoredMail
from mailshot.tokens import KeyRing, Purpose
from mailshot.webhooks import providers
from mailshot.webhooks.provider_event import ProviderEvent
from mailshot.webhooks.verification import SignedEvent, UnverifiedRequest

#: Kinds of which only those of our mails count, and which are not stored.
_UNSTORED = (IncomingKind.delivered, FeedbackKind.opened, FeedbackKind.clicked)


def apply_events(
    connection: Connection, keys: KeyRing, source: IncomingSource, events: Sequence[SignedEvent], at: datetime
) -> Counter[str]:
    """Store and apply the events of one request received `at`; return how many had which kind, without repeated ones.

    Raises UnverifiedRequest when a token comes again with another event: then the request is a forgery.
    """
    counts: Counter[str] = Counter()
    read = [(signed, raw := providers.encode(signed), providers.read_event(source, raw)) for signed in events]
    # Customers are locked before messages, as an erasure does: two transactions never wait for each other.
    incoming_mail.lock_customers(connection, _customers([event for _, _, event in read if event], keys))
    for signed, raw, event in read:
        if signed.token and not webhook_tokens.use_token(connection, source, signed.token, raw, at):
            raise UnverifiedRequest("its token was used before")
        if event is not None and _apply(connection, keys, RawMail(raw, source, None, at), signed.event_id, event):
            counts[event.kind] += 1
    return counts


def _customers(events: Sequence[ProviderEvent], keys: KeyRing) -> list[int]:
    """Return the customers of events that are stored, by their tokens."""
    tokens = [providers.token_of(event, keys) for event in events if event.kind not in _UNSTORED]
    return sorted({token.ids[1] for token in tokens if token is not None and len(token.ids) > 1})


def read_stored(mail: StoredMail, keys: KeyRing) -> IncomingMessage:
    """Read a stored event again, perhaps with a newer reader."""
    event = providers.read_event(mail.source, mail.raw)
    if event is None or event.kind in _UNSTORED:
        name = event.name if event else "says nothing about delivery"
        return IncomingMessage(IncomingKind.unknown, name, Confidence.certain, parser_version=PARSER_VERSION)
    return providers.as_message(event, providers.token_of(event, keys))


def _apply(connection: Connection, keys: KeyRing, mail: RawMail, event_id: str, event: ProviderEvent) -> bool:
    """Apply one event, and return whether it is new or is not stored."""
    token = providers.token_of(event, keys)
    if event.kind in _UNSTORED:
        if token is not None and len(token.ids) > 1:
            _apply_unstored(connection, keys, mail, event, token)
        return True
    stored = incoming_mail.store_event(connection, mail, event_id)
    if stored is None:
        return False
    message = providers.as_message(event, token)
    incoming_effects.apply(connection, stored, message, incoming_effects.mail_of(connection, message))
    return True


def _apply_unstored(
    connection: Connection, keys: KeyRing, mail: RawMail, event: ProviderEvent, token: VerifiedToken
) -> None:
    run_id, customer_id = token.ids[:2]
    at = min(event.happened_at or mail.received_at, mail.received_at)
    if event.kind is IncomingKind.delivered:
        how = f"{IncomingKind.delivered.help} ({mail.source})"
        incoming_effects.confirm_handover(connection, (run_id, customer_id), at, how)
        return
    link_id = _link_id(event.url, keys, token) if event.kind is FeedbackKind.clicked else None
    if event.kind is FeedbackKind.opened or link_id is not None:
        # Our own rules decide who opened or clicked; what the provider takes for a machine's, no person did.
        fetch = Fetch(run_id, customer_id, at, "GET", event.agent, event.by_machine, link_id)
        tracking.record_fetches(connection, [fetch])


def _link_id(url: str, keys: KeyRing, token: VerifiedToken) -> int | None:
    """Return the number of the link that was clicked: of our click link, if the provider wraps it, else of the URL."""
    for link in attribution.find_in([url], keys):
        if link.purpose is Purpose.click and link.ids[:2] == token.ids[:2] and len(link.ids) == 3:
            return link.ids[2]
    try:
        return links.link_target(url).id
    except ValueError:
        return None
