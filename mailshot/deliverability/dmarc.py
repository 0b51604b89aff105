"""Finds DMARC records and organisational domains by walking up the DNS tree (RFC 9989), and compares domains."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailshot.deliverability.dns_lookup import DnsLookup

#: Labels of a name at which the walk goes on after the first question (RFC 9989 section 4.10).
MAX_LABELS = 7


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A DMARC record and the domain it stands at."""

    domain: str
    text: str
    tags: dict[str, str]

    @property
    def policy(self) -> str:
        """What receivers shall do with mail that is not authenticated: none, quarantine or reject."""
        return self.tags.get("p", "none").lower()

    def is_strict(self, mechanism: str) -> bool:
        """Return whether `adkim` or `aspf` requires exactly the domain of From; otherwise a related one is enough."""
        return self.tags.get(mechanism, "r").lower() == "s"


def parse_tags(text: str) -> dict[str, str]:
    """Read `name=value; name=value`, as DMARC, DKIM and BIMI records are written."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, sign, value in pairs if sign}


def records(lookup: DnsLookup, domain: str) -> list[str]:
    """Return the DMARC records of exactly this domain; of several, receivers take none (RFC 9989 section 4.10)."""
    return [text for text in lookup.texts(f"_dmarc.{domain}") if re.match(r"v\s*=\s*DMARC1\s*(;|$)", text)]


def find_record(lookup: DnsLookup, domain: str) -> DmarcRecord | None:
    """Return the record that counts for mail from a domain: its own, or its organisational domain's."""
    found = {record.domain: record for record in _walk(lookup, domain)}
    return found.get(domain) or found.get(organizational_domain(lookup, domain))


def organizational_domain(lookup: DnsLookup, domain: str) -> str:
    """Return the organisational domain: itself, while there is no record in the tree."""
    found = _walk(lookup, domain)
    for record in found:
        if record.tags.get("psd") == "n":
            return record.domain
        if record.tags.get("psd") == "y" and record.domain != domain:
            return ".".join(domain.split(".")[-record.domain.count(".") - 2 :])
    return found[-1].domain if found else domain


def is_aligned(lookup: DnsLookup, domain: str, from_domain: str, strict: bool) -> bool:
    """Return whether a domain that SPF or DKIM proved counts for the domain of From."""
    if strict or domain == from_domain:
        return domain == from_domain
    return organizational_domain(lookup, domain) == organizational_domain(lookup, from_domain)


def _walk(lookup: DnsLookup, domain: str) -> list[DmarcRecord]:
    """Return the records from a domain up to the top, the longest name first."""
    labels = domain.split(".")
    above = labels[-MAX_LABELS:] if len(labels) > MAX_LABELS + 1 else labels[1:]
    names = [domain, *(".".join(above[start:]) for start in range(len(above)))]
    found = []
    for name in names:
        texts = records(lookup, name)
        if len(texts) == 1:
            found.append(DmarcRecord(name, texts[0], parse_tags(texts[0])))
    return found
