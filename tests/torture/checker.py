"""Compares a ledger with the log of an independent mail server. Pure: rows and acceptances in, a verdict out.

The words are those of Jepsen's total-queue checker: what was enqueued must be dequeued exactly once. An acceptance is a
message that the server had on disk before it answered, so a row that is `sent` and has none is a lost mail.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

DELIVERED = ("sent", "unconfirmed")


@dataclass(frozen=True, slots=True)
class Row:
    """One delivery as the ledger shows it at the end."""

    recipient: str
    state: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One message that the mail server took."""

    recipient: str
    message_id: str
    #: Of the message's bytes.
    sha256: str


@dataclass(frozen=True)
class Terms:
    """What the policy and the faults of one trial allow."""

    at_least_once: bool
    #: Deliveries that may be in doubt: for each kill, the connections that were open; and what the server left open.
    in_doubt: int = 0
    #: The final state of recipients who are not to get a mail, by address.
    endings: Mapping[str, str] = field(default_factory=dict)
    #: The rows that the launch should have made; None: not known.
    audience: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of a run. `problems` says in words what breaks the promise; it is empty when the promise holds."""

    deliveries: int
    accepted: int
    lost: int
    #: Copies beyond the first.
    duplicated: int
    #: Acceptances that the ledger does not account for.
    unexpected: int
    unconfirmed: int
    #: Second copies that differ from the first in Message-ID or bytes.
    altered: int
    problems: tuple[str, ...]


def check(rows: Sequence[Row], acceptances: Iterable[Acceptance], terms: Terms) -> Verdict:
    """Judge a finished run."""
    copies: dict[str, list[Acceptance]] = defaultdict(list)
    owners: dict[str, set[str]] = defaultdict(set)
    for acceptance in acceptances:
        copies[acceptance.recipient].append(acceptance)
        owners[acceptance.message_id].add(acceptance.recipient)
    states = {row.recipient: row.state for row in rows}
    lost = sorted(row.recipient for row in rows if _is_lost(row, copies, terms))
    unexpected = sorted(name for name in copies if states.get(name) not in DELIVERED)
    extra = sum(len(messages) - 1 for messages in copies.values())
    altered = sorted(
        name for name, messages in copies.items() if len({(item.message_id, item.sha256) for item in messages}) > 1
    )
    shared = sorted(message_id for message_id, names in owners.items() if len(names) > 1)
    unconfirmed = sum(row.state == "unconfirmed" for row in rows)
    findings = [
        _named("lost", lost),
        _named("accepted but not accounted for", unexpected),
        _named("second copy differs from the first", altered),
        _named("Message-ID with several recipients", shared),
        *_counted(rows, len(states), extra, unconfirmed, terms),
    ]
    return Verdict(
        deliveries=len(rows),
        accepted=sum(map(len, copies.values())),
        lost=len(lost),
        duplicated=extra,
        unexpected=len(unexpected),
        unconfirmed=unconfirmed,
        altered=len(altered),
        problems=tuple(finding for finding in findings if finding),
    )


def _is_lost(row: Row, copies: Mapping[str, list[Acceptance]], terms: Terms) -> bool:
    """Whether a delivery ended in another state than it should have, or is `sent` without any acceptance."""
    ending = terms.endings.get(row.recipient)
    if ending is not None:
        return row.state != ending
    if row.state == "unconfirmed":
        return terms.at_least_once
    return row.state != "sent" or row.recipient not in copies


def _counted(rows: Sequence[Row], recipients: int, extra: int, unconfirmed: int, terms: Terms) -> list[str]:
    findings = []
    if recipients != len(rows):
        findings.append(f"{len(rows) - recipients} recipients have two rows")
    if terms.audience is not None and len(rows) != terms.audience:
        findings.append(f"{len(rows)} rows for an audience of {terms.audience}")
    if terms.at_least_once and extra > terms.in_doubt:
        findings.append(f"{extra} extra copies where {terms.in_doubt} could be in doubt")
    if not terms.at_least_once and extra:
        findings.append(f"{extra} sent twice")
    if not terms.at_least_once and unconfirmed > terms.in_doubt:
        findings.append(f"{unconfirmed} unconfirmed where {terms.in_doubt} could be in doubt")
    return findings


def _named(what: str, names: Sequence[str]) -> str:
    return f"{len(names)} {what}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}" if names else ""
