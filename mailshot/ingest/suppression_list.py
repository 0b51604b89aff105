"""Reads a suppression list of another system, or of ours: one address or hash a line, or a CSV file with a header.

An entry is one of three:

    ann@example.com        an address
    32 hex digits          our own hash, as 'mailshot suppression export' writes it (with the same MAILSHOT_ADDRESS_KEY)
    64 hex digits          the SHA-256 of the address, trimmed, in lower case and in UTF-8
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mailshot.errors import InvalidInput, Problem
from mailshot.ingest import addresses
from mailshot.profile import address
from mailshot.profile.address import Fault
from mailshot.store.suppressed_digests import SuppressedDigest
from mailshot.store.tables import Suppression

#: What the column of addresses or hashes may be called.
ENTRY_COLUMNS = ("address_hash", "sha256", "hash", "email", "e-mail", "address")
MAX_REASON, MAX_SOURCE = 200, 200
_HASH, _DIGEST = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}")
_REMEDY = "Write an address, the SHA-256 of one as 64 hex digits, or a hash from 'mailshot suppression export'."


@dataclass(slots=True)
class SuppressionList:
    """The entries of a list: those by address or by our own hash, and those by SHA-256."""

    suppressions: list[Suppression] = field(default_factory=list)
    digests: list[SuppressedDigest] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.suppressions) + len(self.digests)


def read_list(text: str, file: str, reason: str, source: str, now: datetime, address_key: bytes) -> SuppressionList:
    """Read a list. Raises InvalidInput with every line that is neither an address nor a hash.

    `reason`, `source` and `now` hold where the file has no column `reason`, `source` or `at`, or nothing in it.
    """
    lines = list(csv.reader(text.removeprefix("\ufeff").splitlines()))
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    named = next((name for name in ENTRY_COLUMNS if name in header), None)
    columns = header if named else ["address"]
    entries, problems = SuppressionList(), []
    for number, cells in enumerate(lines[1:] if named else lines, 2 if named else 1):
        values = dict(zip(columns, map(str.strip, cells), strict=False))
        entry = values.get(named or "address", "")
        if not entry:
            continue
        about = {
            "reason": (values.get("reason") or reason)[:MAX_REASON],
            "source": (values.get("source") or source)[:MAX_SOURCE],
            "at": _moment(values.get("at", ""), now),
        }
        fault = _add(entries, entry, about, address_key)
        problems += [Problem(file, number, 0, fault, remedy=_REMEDY)] if fault else []
    if problems:
        raise InvalidInput(problems)
    return entries


def _add(entries: SuppressionList, entry: str, about: dict[str, Any], address_key: bytes) -> str:
    """Add one entry, and return what is wrong with it; "" for nothing."""
    if _DIGEST.fullmatch(entry.lower()):
        entries.digests.append(SuppressedDigest(digest=entry.lower(), **about))
    elif _HASH.fullmatch(entry.lower()):
        entries.suppressions.append(Suppression(address_hash=entry.lower(), **about))
    elif addresses.WILDCARD.match(entry):
        return f"'{entry[:80]}' is not an address: {addresses.WILDCARD_REASON}"
    elif isinstance(parsed := address.normalise(entry), Fault):
        return f"'{entry[:80]}' is neither an address nor a hash"
    else:
        hashed = address.hash_address(address_key, parsed.email)
        entries.suppressions.append(Suppression(address_hash=hashed, **about))
    return ""


def _moment(written: str, now: datetime) -> datetime:
    """Return a time in ISO 8601, UTC without a zone; `now` if it is missing, unreadable or in the future."""
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return now
    return min(moment if moment.tzinfo else moment.replace(tzinfo=UTC), now)
