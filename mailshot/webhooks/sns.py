"""Verifies messages of Amazon SNS, which carry the events of SES.

A valid signature of AWS proves little: anyone can publish to a topic of their own. So only messages of the topics in
the setting count. The certificate and the page that confirms a subscription are fetched from AWS alone, by addresses
that match in full.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mailshot.webhooks import public_keys, verification
from mailshot.webhooks.verification import UnreadableRequest, UnverifiedRequest, WebhookRequest

#: SNS tries for an hour to deliver a message, each time with the moment of its publication.
MAX_AGE = timedelta(hours=1)
NOTIFICATION, CONFIRMATION, REMOVAL = "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"
#: The fields that are signed, in their order; Subject only where there is one.
_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    REMOVAL: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HOST = r"https://sns\.[a-z0-9-]{3,40}\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE = re.compile(rf"{_HOST}/[A-Za-z0-9_-]{{1,100}}\.pem", re.ASCII)
_SUBSCRIBE = re.compile(rf"{_HOST}/\?[A-Za-z0-9_.~%&=:+-]{{1,2000}}", re.ASCII)
TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]{3,40}:\d{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?", re.ASCII)

#: Returns the bytes at an address of AWS, or raises OSError. Only addresses that `verify` has checked reach it.
Fetch = Callable[[str], bytes]


def verify(request: WebhookRequest, topics: Sequence[str], fetch: Fetch) -> dict[str, str]:
    """Return a message of SNS that AWS signed and that belongs to one of our topics. Raises UnverifiedRequest.

    The cheap checks come first, so that nothing is fetched for a request that is refused by any other rule.
    """
    message = _fields(verification.read_json(request))
    if message["TopicArn"] not in topics:
        raise UnverifiedRequest("its topic is not in the setting")
    if message.get("SignatureVersion") != "2":
        raise UnverifiedRequest("it has no signature with SHA-256; set SignatureVersion of the topic to 2")
    verification.check_age(request, message["Timestamp"], MAX_AGE)
    if not is_certificate_url(message.get("SigningCertURL", "")):
        raise UnverifiedRequest("its certificate is not at AWS")
    if message["Type"] == CONFIRMATION and not is_subscribe_url(message["SubscribeURL"], message["TopicArn"]):
        raise UnverifiedRequest("the address to confirm the subscription at is not at AWS")
    try:
        certificate = fetch(message["SigningCertURL"])
    except OSError as error:
        raise UnverifiedRequest(f"the certificate could not be fetched: {type(error).__name__}") from error
    signature, signed = message.get("Signature", ""), signed_text(message)
    if not public_keys.is_signed_by_certificate(certificate, signature, signed, request.received_at):
        raise UnverifiedRequest("the signature does not match")
    return message


def signed_text(message: dict[str, str]) -> bytes:
    """Return what SNS signs of a message: names and values, each on a line."""
    names = (name for name in _SIGNED[message["Type"]] if name in message)
    return "".join(f"{name}\n{message[name]}\n" for name in names).encode("utf-8", "surrogatepass")


def is_certificate_url(url: str) -> bool:
    """Return whether an address is that of a certificate at AWS."""
    return _CERTIFICATE.fullmatch(url) is not None


def is_subscribe_url(url: str, topic: str) -> bool:
    """Return whether an address at AWS confirms a subscription to a topic, and does nothing else."""
    if not _SUBSCRIBE.fullmatch(url):
        return False
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    parameters = dict(query)
    is_unique = len(parameters) == len(query) and set(parameters) == {"Action", "TopicArn", "Token"}
    return is_unique and parameters["Action"] == "ConfirmSubscription" and parameters["TopicArn"] == topic


def _fields(body: Any) -> dict[str, str]:
    """Return the fields of a message that are texts. Raises UnreadableRequest when one is missing."""
    if not isinstance(body, dict):
        raise UnreadableRequest("it is not a message of SNS")
    message = {name: value for name, value in body.items() if isinstance(value, str)}
    required = set(_SIGNED.get(message.get("Type", ""), ())) - {"Subject"}
    if not required or not required <= message.keys():
        raise UnreadableRequest("it is not a message of SNS; raw message delivery must be off")
    return message
