"""Verifies that a request comes from the provider: signatures of its raw body, or a password.

All comparisons take constant time. A request that is older than `MAX_AGE`, or from the future, is a replay.
"""

from __future__ import annotations

import binascii
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mailshot.webhooks import provider_event

#: How old a signed request may be, and how far in the future: the tolerance of the Standard Webhooks libraries.
MAX_AGE = timedelta(minutes=5)
#: Names of the headers of Standard Webhooks; Svix, which Resend uses, has its own.
_STANDARD_NAMES = ("webhook", "svix")
MAX_SIGNATURES = 20
MAX_ID = 255


class UnverifiedRequest(Exception):
    """A request that does not prove to come from the provider. Its text says why and holds nothing of the request."""


class UnreadableRequest(Exception):
    """A request of the provider whose body cannot be read."""


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A request as it arrived."""

    #: By name in lower case.
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """One event of a verified request."""

    #: Unique for the provider; a repeated event has the same one.
    event_id: str
    body: dict[str, Any]
    #: A token that may come with this event only, where the body is not signed; "" elsewhere.
    token: str = ""


def verify_standard(request: WebhookRequest, secrets: Sequence[str]) -> str:
    """Return the id of a request signed as Standard Webhooks say (HMAC-SHA256). Raises UnverifiedRequest."""
    kind = next((name for name in _STANDARD_NAMES if f"{name}-signature" in request.headers), _STANDARD_NAMES[0])
    number, timestamp, signatures = (
        request.headers.get(f"{kind}-{name}", "") for name in ("id", "timestamp", "signature")
    )
    if not number or len(number) > MAX_ID or not number.isascii():
        raise UnverifiedRequest("the header with the id is missing")
    check_age(request, timestamp)
    signed = f"{number}.{timestamp}.".encode() + request.body
    expected = [b"v1," + b64encode(hmac.digest(standard_key(secret), signed, "sha256")) for secret in secrets]
    if not _any_equal(signatures.split(" ")[:MAX_SIGNATURES], expected):
        raise UnverifiedRequest("the signature does not match")
    return number


def standard_key(secret: str) -> bytes:
    """Return the key in a secret of Standard Webhooks, `whsec_` and base64. Raises ValueError."""
    return b64decode(secret.removeprefix("whsec_"), validate=True)


def verify_mailgun(request: WebhookRequest, keys: Sequence[str]) -> dict[str, Any]:
    """Return the body of a request signed as Mailgun does. Raises UnverifiedRequest.

    The signature covers a timestamp and a token, but not the body: the token must not come again with another event.
    """
    body = read_json(request)
    timestamp, token, signature = (
        provider_event.text(body, "signature", name) for name in ("timestamp", "token", "signature")
    )
    if not token or len(token) > MAX_ID:
        raise UnverifiedRequest("the token is missing")
    check_age(request, timestamp)
    signed = f"{timestamp}{token}".encode()
    expected = [hmac.digest(key.encode(), signed, "sha256").hex().encode() for key in keys]
    if not isinstance(body, dict) or not _any_equal([signature], expected):
        raise UnverifiedRequest("the signature does not match")
    return body


def verify_credentials(request: WebhookRequest, secrets: Sequence[str]) -> None:
    """Check the Authorization header. Raises UnverifiedRequest.

    A secret `user:password` is that of Basic authentication (RFC 7617), any other one that of a Bearer token.
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            credentials = b64decode(value.strip(), validate=True)
        except binascii.Error:
            credentials = b""
        expected = [secret.encode() for secret in secrets if ":" in secret]
    else:
        credentials = _bytes(value.strip()) if scheme.lower() == "bearer" else b""
        expected = [secret.encode() for secret in secrets if ":" not in secret]
    # A list, so that all are compared.
    if True not in [hmac.compare_digest(credentials, secret) for secret in expected]:
        raise UnverifiedRequest("user and password, or the token, do not match")


def check_age(request: WebhookRequest, timestamp: str, max_age: timedelta = MAX_AGE) -> None:
    """Check when a request was signed: ISO 8601, or whole seconds since 1970. Raises UnverifiedRequest."""
    at = provider_event.moment(timestamp) if timestamp.isdecimal() or "T" in timestamp else None
    if at is None:
        raise UnverifiedRequest("the time of the signature is missing")
    if request.received_at - at > max_age:
        raise UnverifiedRequest("it was signed too long ago; check the clock of this machine")
    if at - request.received_at > MAX_AGE:
        raise UnverifiedRequest("it was signed in the future; check the clock of this machine")


def read_json(request: WebhookRequest) -> Any:
    """Return the body as JSON. Raises UnreadableRequest."""
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError):
        raise UnreadableRequest("the body is not JSON") from None


def _any_equal(signatures: Sequence[str], expected: Sequence[bytes]) -> bool:
    """Compare all signatures with all expected ones, in a time that does not depend on where they differ."""
    return True in [hmac.compare_digest(_bytes(mine), other) for mine in signatures for other in expected]


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "replace")
