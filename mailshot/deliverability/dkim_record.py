"""Compares the DKIM keys that are published with those that a sender signs with."""

from __future__ import annotations

import binascii
from base64 import b64decode

from mailshot.deliverability import zone_file
from mailshot.deliverability.dmarc import parse_tags
from mailshot.deliverability.dns_lookup import DnsLookup
from mailshot.deliverability.sender_finding import Level, SenderFinding, guarded
from mailshot.errors import SettingsError
from mailshot.profile.senders import Sender
from mailshot.render import dkim, dkim_keys
from mailshot.render.dkim import SigningKey
from mailshot.render.dkim_keys import DkimKeys, KeyType

#: Recommended for RSA (RFC 8301 section 3.2).
GOOD_BITS = 2048


def check_keys(sender: Sender, keys: DkimKeys, lookup: DnsLookup) -> list[SenderFinding]:
    """Check each key that a sender signs with; without any, say that the relay has to sign."""
    if sender.sign is None:
        text = "Mailshot does not sign, so the relay has to; from here that cannot be seen"
        remedy = "Send a test mail and look for dkim=pass, or sign here: mailshot dkim key --help"
        return [SenderFinding(Level.warn, "DKIM", text, remedy=remedy)]
    return [
        finding
        for domain, selector in dkim_keys.identities(sender.sign.model_dump())
        for finding in guarded(f"DKIM {selector}", lambda: [_check_key(domain, selector, keys, lookup)])  # noqa: B023
    ]


def _check_key(domain: str, selector: str, keys: DkimKeys, lookup: DnsLookup) -> SenderFinding:
    check, name = f"DKIM {selector}", dkim.record_name(domain, selector)
    try:
        (key,) = keys.find({"domain": domain, "selector": selector})
    except SettingsError as error:
        return SenderFinding(Level.fail, check, error.message.rstrip("."), remedy=error.remedy)
    publish = zone_file.txt_record(name, key.record)
    published = [text for text in lookup.texts(name) if "p" in parse_tags(text)]
    if not published:
        return SenderFinding(Level.fail, check, f"no key is published at {name}", publish)
    if len(published) > 1:
        return SenderFinding(
            Level.fail, check, f"{len(published)} keys are published at {name}; one is allowed", publish
        )
    return _compared(check, key, parse_tags(published[0]), publish)


def _compared(check: str, key: SigningKey, tags: dict[str, str], publish: str) -> SenderFinding:
    """Compare the one published key with ours (RFC 6376 section 3.6.1)."""
    kind, ours = tags.get("k", KeyType.rsa).lower(), parse_tags(key.record)
    try:
        encoded = "".join(tags["p"].split())
        bits = dkim_keys.published_bits(kind, b64decode(encoded, validate=True)) if encoded else 0
    except (binascii.Error, ValueError):
        return SenderFinding(Level.fail, check, f"what is published at {key.dns_name} is not a key", publish)
    if not encoded:
        return SenderFinding(Level.fail, check, f"the key at {key.dns_name} is revoked (empty p=)", publish)
    if kind == KeyType.rsa and bits < dkim_keys.LEAST_BITS:
        text = f"the key at {key.dns_name} has {bits} bits; receivers want {dkim_keys.LEAST_BITS} or more"
        return SenderFinding(Level.fail, check, text, publish)
    if (kind, encoded) != (ours["k"], ours["p"]):
        return SenderFinding(Level.fail, check, f"the key at {key.dns_name} is not the one that signs", publish)
    if "sha256" not in tags.get("h", "sha256") or tags.get("s", "*") not in ("*", "email"):
        return SenderFinding(
            Level.fail, check, f"the record at {key.dns_name} does not allow this use (h= or s=)", publish
        )
    if kind == KeyType.rsa and bits < GOOD_BITS:
        remedy = "Make a new one with another selector: mailshot dkim key --help"
        return SenderFinding(Level.warn, check, f"published, but has only {bits} bits", remedy=remedy)
    if "y" in tags.get("t", "").split(":"):
        return SenderFinding(Level.warn, check, "published as a test (t=y), which some receivers ignore", publish)
    return SenderFinding(Level.ok, check, f"{key.algorithm} with {bits} bits is published at {key.dns_name}")
