"""One thing found out about a sender or its relay, with the DNS record that would put it right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from mailshot.deliverability.dns_lookup import NoAnswer


class Level(StrEnum):
    """How much a finding matters."""

    ok = "ok"
    #: Works, but could be better, or cannot be found out from here.
    warn = "warn"
    #: Large receivers reject or distrust such mail, or the check got no answer.
    fail = "fail"


@dataclass(frozen=True, slots=True)
class SenderFinding:
    """The result of one check."""

    level: Level
    #: What was checked: `SPF`, `DKIM m1`, `DMARC`, ….
    check: str
    #: One sentence, without a full stop.
    text: str
    #: Line of a zone file to publish; "" when there is none.
    publish: str = ""
    #: What to do; "" when `publish` says it.
    remedy: str = ""


def guarded(check: str, find: Callable[[], list[SenderFinding]]) -> list[SenderFinding]:
    """Run a check; one that gets no answer fails, because nothing is known then."""
    try:
        return find()
    except NoAnswer as error:
        remedy = "Try again, or ask another name server with --nameserver."
        return [SenderFinding(Level.fail, check, f"cannot be checked: {error}", remedy=remedy)]
