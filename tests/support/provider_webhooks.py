"""Writes webhook requests as mail providers send and sign them, with keys and certificates of our own."""

from __future__ import annotations

import datetime as dt
import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from mailshot.states import IncomingSource
from mailshot.tokens import KeyRing, Purpose
from mailshot.webhooks import providers, sns, verification
from mailshot.webhooks.providers import Webhooks

TOPIC = "arn:aws:sns:eu-west-1:123456789012:mailshot"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
WHSEC = "whsec_" + b64encode(b"a key of the test's own, 32 byte").decode()
MAILGUN_KEY = "canary-signing-key-of-mailgun"
CREDENTIALS = "mailshot:canary-password"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
KINDS = ("hard", "soft", "block", "suppressed", "complaint", "unsubscribe", "delayed", "delivered", "opened")
REPLIES = {
    "hard": ("5.1.1", "550 5.1.1 <{to}>: Recipient address rejected: User unknown"),
    "soft": ("5.2.2", "552 5.2.2 <{to}>: mailbox full"),
    "block": ("5.7.1", "554 5.7.1 Service unavailable; client host blocked using zen.spamhaus.org"),
    "delayed": ("4.4.1", "451 4.4.1 connection timed out"),
}


@dataclass(frozen=True)
class MailIds:
    """What a provider knows of a mail."""

    envelope_from: str
    message_id: str
    recipient: str = "canary.address@mail.example"

    @property
    def token(self) -> str:
        return self.envelope_from.partition("@")[0]

    @classmethod
    def of(cls, keys: KeyRing, run_id: int, customer_id: int) -> MailIds:
        """Return those of a customer's mail."""
        bounce = keys.sign_local_part(Purpose.bounce, run_id, customer_id)
        return cls(f"{bounce}@bay.example.com", f"{keys.sign(Purpose.message, run_id, customer_id)}@bay.example.com")


@dataclass(frozen=True)
class Posted:
    """A request before it is sent."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_headers(self, **changes: str) -> Posted:
        """Return it with changed headers; an underscore in a name stands for a hyphen."""
        changed = {name.replace("_", "-"): value for name, value in changes.items()}
        return replace(self, headers={**self.headers, **changed})


def certificate(key: rsa.RSAPrivateKey = RSA_KEY, years: int = 1) -> bytes:
    """Return a self-signed certificate in PEM; a negative number of years makes one that is over."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = dt.datetime.now(dt.UTC)
    begin, end = sorted((now - dt.timedelta(days=1), now + dt.timedelta(days=365 * years)))
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = builder.serial_number(1).not_valid_before(begin).not_valid_after(end).sign(key, SHA256())
    return built.public_bytes(Encoding.PEM)


def public_key(key: ec.EllipticCurvePrivateKey = EC_KEY) -> str:
    """Return the public key as SendGrid's console shows it."""
    return b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


CERTIFICATE = certificate()
SETTINGS = {
    "standard": WHSEC, "ses": TOPIC, "sendgrid": public_key(), "mailgun": MAILGUN_KEY, "postmark": CREDENTIALS,
    "resend": WHSEC, "brevo": CREDENTIALS, "mailjet": CREDENTIALS,
}  # fmt: skip


def webhooks(**changes: str) -> Webhooks:
    """Return all providers set up with the test's secrets, some of them changed."""
    return providers.parse_settings({**SETTINGS, **changes})


def post(source: str, kind: str, mail: MailIds, at: dt.datetime, number: int = 1) -> Posted:
    """Return the signed request of a provider about one event that happened and was sent `at` a moment."""
    return sign(IncomingSource.of(source), BODIES[source](kind, mail, at, number), at, number)


def sign(source: IncomingSource, body: Any, at: dt.datetime, number: int = 1) -> Posted:
    """Return a body as a provider signs and sends it."""
    return _SIGNERS[source](body, at, number)


def sign_standard(body: Any, at: dt.datetime, number: int = 1, name: str = "webhook", secret: str = WHSEC) -> Posted:
    raw, event_id, timestamp = json.dumps(body).encode(), f"msg_{number}", str(int(at.timestamp()))
    key = verification.standard_key(secret)
    signature = b64encode(hmac.digest(key, f"{event_id}.{timestamp}.".encode() + raw, "sha256")).decode()
    signed = {f"{name}-id": event_id, f"{name}-timestamp": timestamp, f"{name}-signature": f"v1,{signature}"}
    return Posted(raw, {"content-type": "application/json", **signed})


def sign_sendgrid(body: Any, at: dt.datetime, number: int = 1, key: ec.EllipticCurvePrivateKey = EC_KEY) -> Posted:
    raw, timestamp = json.dumps(body, separators=(",", ":")).encode() + b"\r\n", str(int(at.timestamp()))
    signature = b64encode(key.sign(timestamp.encode() + raw, ec.ECDSA(SHA256()))).decode()
    prefix = "x-twilio-email-event-webhook"
    headers = {f"{prefix}-signature": signature, f"{prefix}-timestamp": timestamp}
    return Posted(raw, {"content-type": "application/json;charset=utf-8", **headers})


def sign_mailgun(body: Any, at: dt.datetime, number: int = 1, key: str = MAILGUN_KEY) -> Posted:
    timestamp, token = str(int(at.timestamp())), f"{number:050d}"
    signature = hmac.digest(key.encode(), f"{timestamp}{token}".encode(), "sha256").hex()
    signed = {"signature": {"timestamp": timestamp, "token": token, "signature": signature}, **body}
    return Posted(json.dumps(signed).encode(), {"content-type": "application/json"})


def sign_credentials(body: Any, at: dt.datetime, number: int = 1, credentials: str = CREDENTIALS) -> Posted:
    scheme, value = (
        ("Basic", b64encode(credentials.encode()).decode()) if ":" in credentials else ("Bearer", credentials)
    )
    return Posted(json.dumps(body).encode(), {"content-type": "application/json", "authorization": f"{scheme} {value}"})


def sign_sns(body: Any, at: dt.datetime, number: int = 1) -> Posted:
    return post_sns(sns_message(json.dumps(body), at, number))


def sns_message(text: str, at: dt.datetime, number: int = 1, **changes: str) -> dict[str, str]:
    """Return a message of SNS that is not signed yet."""
    message = {
        "Type": "Notification",
        "MessageId": f"22b80b92-fdea-4c2c-8f9d-{number:012d}",
        "TopicArn": TOPIC,
        "Message": text,
        "Timestamp": at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE_URL,
        "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=x",
    }
    return {**message, **changes}


def confirmation(at: dt.datetime, **changes: str) -> dict[str, str]:
    """Return a message with which SNS asks to confirm a subscription."""
    url = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=canary-token"
    fields = {"Type": "SubscriptionConfirmation", "Token": "canary-token", "SubscribeURL": url}
    return {**sns_message("You have chosen to subscribe to the topic.", at), **fields, **changes}


def post_sns(message: dict[str, str], key: rsa.RSAPrivateKey = RSA_KEY) -> Posted:
    """Return a message of SNS as it is signed and sent."""
    signature = key.sign(sns.signed_text(message), padding.PKCS1v15(), SHA256())
    signed = {**message, "Signature": b64encode(signature).decode()}
    headers = {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": message["Type"]}
    return Posted(json.dumps(signed).encode(), headers)


_SIGNERS: Mapping[IncomingSource, Callable[[Any, dt.datetime, int], Posted]] = {
    IncomingSource.standard: sign_standard,
    IncomingSource.ses: sign_sns,
    IncomingSource.sendgrid: sign_sendgrid,
    IncomingSource.mailgun: sign_mailgun,
    IncomingSource.postmark: sign_credentials,
    IncomingSource.resend: lambda body, at, number: sign_standard(body, at, number, "svix"),
    IncomingSource.brevo: sign_credentials,
    IncomingSource.mailjet: sign_credentials,
}


def _reply(kind: str, mail: MailIds) -> tuple[str, str]:
    status, reply = REPLIES.get(kind, ("", ""))
    return status, reply.format(to=mail.recipient)


def _standard(kind: str, mail: MailIds, at: dt.datetime, number: int) -> dict[str, Any]:
    names = {"complaint": "complained", "unsubscribe": "unsubscribed", "delayed": "deferred"}
    bounce = {"bounce": kind} if kind in ("hard", "soft", "block") else {}
    status, reply = _reply(kind, mail)
    data = {"message_id": mail.message_id, "recipient": mail.recipient, "status": status, "diagnostic": reply, **bounce}
    name = "bounced" if bounce else names.get(kind, kind)
    return {"type": f"mail.{name}", "timestamp": at.isoformat(), "data": {**data, "user_agent": BROWSER}}


def _ses(kind: str, mail: MailIds, at: dt.datetime, number: int) -> dict[str, Any]:
    status, reply = _reply(kind, mail)
    recipient = {
        "emailAddress": mail.recipient,
        "status": status,
        "action": "failed",
        "diagnosticCode": f"smtp; {reply}",
    }
    bounces = {
        "hard": ("Permanent", "General"), "soft": ("Transient", "MailboxFull"),
        "block": ("Transient", "ContentRejected"),
        "suppressed": ("Permanent", "OnAccountSuppressionList"),
    }  # fmt: skip
    written = at.isoformat().replace("+00:00", "Z")
    head = {"timestamp": written, "source": mail.envelope_from, "messageId": "0102", "destination": [mail.recipient]}
    if kind in bounces:
        type_, subtype = bounces[kind]
        section = {
            "bounceType": type_,
            "bounceSubType": subtype,
            "bouncedRecipients": [recipient],
            "timestamp": written,
        }
        return {"eventType": "Bounce", "mail": head, "bounce": section}
    sections: dict[str, tuple[str, str, dict[str, Any]]] = {
        "complaint": ("Complaint", "complaint", {"complaintFeedbackType": "abuse"}),
        "delayed": ("DeliveryDelay", "deliveryDelay", {"delayType": "General", "delayedRecipients": [recipient]}),
        "delivered": ("Delivery", "delivery", {"smtpResponse": "250 2.0.0 OK"}),
        "opened": ("Open", "open", {"userAgent": BROWSER}),
        "unsubscribe": ("Subscription", "subscription", {"newTopicPreferences": {"unsubscribeAll": True}}),
    }  # fmt: skip
    event, name, section = sections[kind]
    return {"eventType": event, "mail": head, name: {"timestamp": written, **section}}


def _sendgrid(kind: str, mail: MailIds, at: dt.datetime, number: int) -> list[dict[str, Any]]:
    status, reply = _reply(kind, mail)
    names = {
        "hard": "bounce", "soft": "bounce", "block": "bounce", "suppressed": "dropped", "complaint": "spamreport",
        "delayed": "deferred", "opened": "open",
    }  # fmt: skip
    types = {"hard": "bounce", "soft": "expired", "block": "blocked"}
    event = {
        "email": mail.recipient, "event": names.get(kind, kind), "timestamp": int(at.timestamp()),
        "sg_event_id": f"event-{number}", "sg_message_id": "filter.0", "mailshot": mail.token,
        "smtp-id": f"<{mail.message_id}>", "status": status, "reason": reply or "Bounced Address", "useragent": BROWSER,
    }  # fmt: skip
    return [{**event, "type": types[kind]} if kind in types else event]


def _mailgun(kind: str, mail: MailIds, at: dt.datetime, number: int) -> dict[str, Any]:
    status, reply = _reply(kind, mail)
    names = {"complaint": "complained", "unsubscribe": "unsubscribed", "delivered": "delivered", "opened": "opened"}
    reasons = {
        "hard": "bounce",
        "soft": "old",
        "block": "espblock",
        "suppressed": "suppress-bounce",
        "delayed": "generic",
    }
    data = {
        "id": f"id-{number}", "event": names.get(kind, "failed"), "timestamp": at.timestamp(),
        "recipient": mail.recipient, "message": {"headers": {"message-id": mail.message_id, "to": mail.recipient}},
        "client-info": {"user-agent": BROWSER},
    }  # fmt: skip
    if kind in reasons:
        code, _, message = reply.partition(" ")
        data |= {"severity": "temporary" if kind == "delayed" else "permanent", "reason": reasons[kind]}
        data["delivery-status"] = {"code": int(code or 605), "message": message, "enhanced-code": status}
    return {"event-data": data}


def _postmark(kind: str, mail: MailIds, at: dt.datetime, number: int) -> dict[str, Any]:
    common = {"MessageID": f"883953f4-{number}", "Metadata": {"mailshot": mail.token}, "MessageStream": "broadcast"}
    types = {
        "hard": "HardBounce", "soft": "SoftBounce", "block": "Blocked", "suppressed": "ManuallyDeactivated",
        "delayed": "Transient",
    }  # fmt: skip
    if kind in types:
        details = {"ID": number, "Type": types[kind], "Details": _reply(kind, mail)[1], "BouncedAt": at.isoformat()}
        return {"RecordType": "Bounce", **common, **details, "Email": mail.recipient}
    records: dict[str, tuple[str, dict[str, Any]]] = {
        "complaint": ("SpamComplaint", {"ID": number, "Type": "SpamComplaint", "BouncedAt": at.isoformat()}),
        "delivered": ("Delivery", {"DeliveredAt": at.isoformat()}),
        "opened": ("Open", {"ReceivedAt": at.isoformat(), "UserAgent": BROWSER}),
        "unsubscribe": (
            "SubscriptionChange",
            {
                "SuppressSending": True, "SuppressionReason": "ManualSuppression", "Origin": "Recipient",
                "ChangedAt": at.isoformat(),
            },
        ),
    }  # fmt: skip
    record, fields = records[kind]
    return {"RecordType": record, **common, "Recipient": mail.recipient, **fields}


def _resend(kind: str, mail: MailIds, at: dt.datetime, number: int) -> dict[str, Any]:
    names = {
        "hard": "bounced", "soft": "bounced", "block": "bounced", "complaint": "complained",
        "delayed": "delivery_delayed", "unsubscribe": "unsubscribed",
    }  # fmt: skip
    data = {
        "email_id": "56761188", "to": [mail.recipient], "headers": [{"name": "X-Mailshot-Id", "value": mail.token}],
        "open": {"userAgent": BROWSER},
    }  # fmt: skip
    if kind in ("hard", "soft", "block"):
        type_ = "Permanent" if kind == "hard" else "Transient"
        data["bounce"] = {
            "type": type_,
            "subType": "General",
            "message": "A sentence.",
            "diagnosticCode": [_reply(kind, mail)[1]],
        }
    return {"type": f"email.{names.get(kind, kind)}", "created_at": at.isoformat(), "data": data}


def _brevo(kind: str, mail: MailIds, at: dt.datetime, number: int) -> dict[str, Any]:
    names = {
        "hard": "hard_bounce", "soft": "soft_bounce", "block": "soft_bounce", "suppressed": "blocked",
        "complaint": "spam", "delayed": "deferred",
    }  # fmt: skip
    return {
        "event": names.get(kind, kind), "email": mail.recipient, "ts_epoch": int(at.timestamp() * 1000),
        "message-id": f"<{number}@relay.example>", "X-Mailin-custom": mail.token, "reason": _reply(kind, mail)[1],
        "user_agent": BROWSER,
    }  # fmt: skip


def _mailjet(kind: str, mail: MailIds, at: dt.datetime, number: int) -> list[dict[str, Any]]:
    names = {
        "hard": "bounce", "soft": "bounce", "block": "blocked", "suppressed": "blocked", "complaint": "spam",
        "unsubscribe": "unsub", "delayed": "bounce", "delivered": "sent", "opened": "open",
    }  # fmt: skip
    errors = {
        "hard": ("recipient", "user unknown", True), "soft": ("recipient", "quota exceeded", False),
        "block": ("spam", "sender blocked", False), "suppressed": ("mailjet", "preblocked", False),
        "delayed": ("domain", "greylisted", False),
    }  # fmt: skip
    event = {
        "event": names[kind], "time": int(at.timestamp()), "MessageID": number, "email": mail.recipient,
        "CustomID": mail.token, "agent": BROWSER,
    }  # fmt: skip
    if kind in errors:
        event |= dict(zip(("error_related_to", "error", "hard_bounce"), errors[kind], strict=True))
        event["comment"] = _reply(kind, mail)[1]
    return [event]


BODIES: Mapping[str, Callable[[str, MailIds, dt.datetime, int], Any]] = {
    "standard": _standard, "ses": _ses, "sendgrid": _sendgrid, "mailgun": _mailgun, "postmark": _postmark,
    "resend": _resend, "brevo": _brevo, "mailjet": _mailjet,
}  # fmt: skip
