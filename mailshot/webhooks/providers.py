"""The mail providers whose webhooks are read: their settings, how each proves its requests, and who reads its events.

To add one, write a reader and add an entry to `PROVIDERS`, a setting, and an `IncomingSource`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mailshot.errors import SettingsError
from mailshot.incoming import attribution
from mailshot.incoming.attribution import VerifiedToken
from mailshot.incoming.parser import IncomingMessage
from mailshot.settings import PREFIX
from mailshot.states import Confidence, FeedbackKind, IncomingKind, IncomingSource
from mailshot.tokens import KeyRing
from mailshot.webhooks import (
    brevo,
    mailgun,
    mailjet,
    postmark,
    provider_event,
    public_keys,
    sendgrid,
    ses,
    sns,
    standard,
    verification,
)
from mailshot.webhooks.provider_event import ProviderEvent
from mailshot.webhooks.sns import Fetch
from mailshot.webhooks.verification import SignedEvent, UnreadableRequest, WebhookRequest

JSON, TEXT = "application/json", "text/plain"


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """What a provider sent, once it is certain that it did."""

    events: tuple[SignedEvent, ...] = ()
    #: The address of AWS to fetch, so that a subscription of SNS begins; "" for any other request.
    confirm_url: str = ""


Verify = Callable[[WebhookRequest, Sequence[str], Fetch], VerifiedRequest]


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider."""

    verify: Verify
    read: Callable[[dict[str, Any]], ProviderEvent | None]
    #: An example of its setting.
    example: str
    #: Raises ValueError for a secret that cannot be one.
    check_secret: Callable[[str], object]
    #: Header that makes the provider repeat a token; None where it repeats the envelope's sender or the Message-ID.
    id_header: Callable[[str], tuple[str, str]] | None = None
    #: What Content-Type its requests have.
    content_types: tuple[str, ...] = (JSON,)
    needs_cryptography: bool = False


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The providers that are set up, each with its secrets: several while one replaces another."""

    secrets: Mapping[IncomingSource, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def id_headers(self, token: str) -> tuple[tuple[str, str], ...]:
        """Return the headers that a mail needs, so that its token comes back in the events."""
        makers = (PROVIDERS[name].id_header for name in self.secrets)
        return tuple(make(token) for make in makers if make is not None)


def parse_settings(values: Mapping[str, str]) -> Webhooks:
    """Read the settings by the provider's name; secrets are separated by commas. Raises SettingsError."""
    secrets: dict[IncomingSource, tuple[str, ...]] = {}
    for source, provider in PROVIDERS.items():
        listed = tuple(filter(None, map(str.strip, values.get(source, "").split(","))))
        try:
            if provider.needs_cryptography and listed:
                public_keys.require_cryptography(setting_name(source))
            for secret in listed:
                provider.check_secret(secret)
        except ValueError:
            raise SettingsError(f"{setting_name(source)} is malformed.", f"Example: {provider.example}") from None
        if listed:
            secrets[source] = listed
    return Webhooks(secrets)


def setting_name(source: IncomingSource) -> str:
    """Return the name of a provider's setting."""
    return f"{PREFIX}WEBHOOK_{source.upper()}"


def verify(webhooks: Webhooks, source: IncomingSource, request: WebhookRequest, fetch: Fetch) -> VerifiedRequest:
    """Return what a request says. Raises UnverifiedRequest or UnreadableRequest; calls `fetch` for SNS only."""
    return PROVIDERS[source].verify(request, webhooks.secrets[source], fetch)


def encode(event: SignedEvent) -> bytes:
    """Return an event as it is stored, to be read now and again by a better reader."""
    # Letters as they are, so that the address of an erased customer is found in it.
    return json.dumps(event.body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def read_event(source: IncomingSource, raw: bytes) -> ProviderEvent | None:
    """Read an event as `encode` wrote it; None for one that says nothing about delivery."""
    return PROVIDERS[source].read(json.loads(raw))


def token_of(event: ProviderEvent, keys: KeyRing) -> VerifiedToken | None:
    """Return the token that names the mail, None when the event has none of ours."""
    return next(iter(attribution.find_in(event.identifiers, keys)), None)


def as_message(event: ProviderEvent, token: VerifiedToken | None) -> IncomingMessage:
    """Return an event in the form of a message that came back, which has the same effects."""
    assert not isinstance(event.kind, FeedbackKind)
    return IncomingMessage(
        kind=event.kind,
        rule=event.name,
        confidence=Confidence.guess if event.kind is IncomingKind.unknown else Confidence.certain,
        tokens=(token,) if token else (),
        reason=event.reason,
        reported_address=event.address,
        enhanced_code=event.enhanced_code,
        smtp_code=event.smtp_code,
        diagnostic=event.diagnostic,
        happened_at=event.happened_at,
    )


def _events(bodies: Sequence[dict[str, Any]], event_id: Callable[[dict[str, Any]], str]) -> VerifiedRequest:
    return VerifiedRequest(tuple(SignedEvent(event_id(body).strip(":") or _digest(body), body) for body in bodies))


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise UnreadableRequest("the body is not an object")
    return body


def _verify_standard(request: WebhookRequest, secrets: Sequence[str], fetch: Fetch) -> VerifiedRequest:
    number = verification.verify_standard(request, secrets)
    return VerifiedRequest((SignedEvent(number, _object(verification.read_json(request))),))


def _verify_ses(request: WebhookRequest, secrets: Sequence[str], fetch: Fetch) -> VerifiedRequest:
    message = sns.verify(request, secrets, fetch)
    if message["Type"] == sns.CONFIRMATION:
        return VerifiedRequest(confirm_url=message["SubscribeURL"])
    if message["Type"] == sns.REMOVAL:
        return VerifiedRequest()
    try:
        body = json.loads(message["Message"])
    except (ValueError, RecursionError):
        body = None  # such as the sentence with which SES tests a new topic
    return VerifiedRequest((SignedEvent(message["MessageId"], body),) if isinstance(body, dict) else ())


def _verify_sendgrid(request: WebhookRequest, secrets: Sequence[str], fetch: Fetch) -> VerifiedRequest:
    bodies = sendgrid.verify(request, secrets)
    return _events(bodies, lambda body: provider_event.text(body, "sg_event_id"))


def _verify_mailgun(request: WebhookRequest, secrets: Sequence[str], fetch: Fetch) -> VerifiedRequest:
    body = verification.verify_mailgun(request, secrets)
    token = provider_event.text(body, "signature", "token")
    return VerifiedRequest((SignedEvent(mailgun.event_id(body) or token, body, token),))


def _by_credentials(event_id: Callable[[dict[str, Any]], str]) -> Verify:
    def check(request: WebhookRequest, secrets: Sequence[str], fetch: Fetch) -> VerifiedRequest:
        verification.verify_credentials(request, secrets)
        body = verification.read_json(request)
        return _events([_object(item) for item in body] if isinstance(body, list) else [_object(body)], event_id)

    return check


def _check_standard(secret: str) -> None:
    if len(verification.standard_key(secret)) < 16:
        raise ValueError("too short")


def _check_topic(topic: str) -> None:
    if not sns.TOPIC.fullmatch(topic):
        raise ValueError("not a topic")


def _check_length(secret: str) -> None:
    if len(secret) < 12 or not secret.isascii():
        raise ValueError("too short")


_WHSEC = "whsec_ and then 24 bytes or more in base64"
_CREDENTIALS = "mailshot:a-long-password, or a token of 12 characters or more"
PROVIDERS: Mapping[IncomingSource, Provider] = {
    IncomingSource.standard: Provider(_verify_standard, standard.read_standard, _WHSEC, _check_standard),
    IncomingSource.ses: Provider(
        _verify_ses, ses.read, "arn:aws:sns:eu-west-1:123456789012:mailshot", _check_topic,
        content_types=(TEXT, JSON), needs_cryptography=True,
    ),
    IncomingSource.sendgrid: Provider(
        _verify_sendgrid, sendgrid.read, "the verification key of the event webhook, MFkwEwYHKoZIzj0CAQYIKo…",
        public_keys.ecdsa_key, sendgrid.id_header, needs_cryptography=True,
    ),
    IncomingSource.mailgun: Provider(
        _verify_mailgun, mailgun.read, "the HTTP webhook signing key, 32 hexadecimal digits", _check_length,
    ),
    IncomingSource.postmark: Provider(
        _by_credentials(postmark.event_id), postmark.read, _CREDENTIALS, _check_length, postmark.id_header,
    ),
    IncomingSource.resend: Provider(
        _verify_standard, standard.read_resend, _WHSEC, _check_standard, standard.id_header,
    ),
    IncomingSource.brevo: Provider(
        _by_credentials(brevo.event_id), brevo.read, _CREDENTIALS, _check_length, brevo.id_header,
    ),
    IncomingSource.mailjet: Provider(
        _by_credentials(mailjet.event_id), mailjet.read, _CREDENTIALS, _check_length, mailjet.id_header,
    ),
}  # fmt: skip
