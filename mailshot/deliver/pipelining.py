"""Whether a server may be sent several commands at a time (RFC 2920), as this process has found out.

A server offers PIPELINING in its reply to EHLO. Some that do, or a firewall in front of them, lose pipelined commands:
a reply never comes, or the connection breaks. The mail is not harmed: its dot was not sent. From then on the server
gets one command at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from mailshot.deliver.outcome import Phase

#: Failures in a row after which a way that has worked before is given up.
MAX_FAILURES = 3
#: What servers say of commands that came too early.
TOO_EARLY = re.compile(r"synchroni[sz]ation|pipelin", re.IGNORECASE)


@dataclass(slots=True)
class Experience:
    """How one way of sending commands together has worked."""

    proven: bool = False
    failures: int = 0

    @property
    def usable(self) -> bool:
        return self.failures < (MAX_FAILURES if self.proven else 1)

    def succeeded(self) -> None:
        self.proven, self.failures = True, 0

    def failed(self) -> None:
        self.failures += 1


class Grouping(Enum):
    """How the envelope of one mail, MAIL, RCPT and DATA, is sent."""

    alone = "one command after the other"
    together = "all commands together"
    after_dot = "together, and with the final dot of the mail before"


@dataclass(slots=True)
class Pipelining:
    """What is known of one server: its offer, and how each way of sending commands together has worked."""

    offered: bool = True
    commands: Experience = field(default_factory=Experience)
    after_dot: Experience = field(default_factory=Experience)

    @property
    def may_group(self) -> bool:
        """Whether an envelope may be sent together."""
        return self.offered and self.commands.usable

    @property
    def may_follow(self) -> bool:
        """Whether an envelope may be sent with the dot of the mail before."""
        return self.may_group and self.after_dot.usable

    def is_doubtful(self, grouping: Grouping, phase: Phase) -> bool:
        """Return whether the command of a phase may have been lost by the server, for all that is known."""
        if grouping is Grouping.alone:
            return False
        if phase is Phase.mail:
            return grouping is Grouping.after_dot and not self.after_dot.proven
        return not self.commands.proven

    def succeeded(self, grouping: Grouping) -> None:
        """Note that all commands of an envelope were answered."""
        if grouping is not Grouping.alone:
            self.commands.succeeded()
        if grouping is Grouping.after_dot:
            self.after_dot.succeeded()

    def broke(self, grouping: Grouping, phase: Phase) -> bool:
        """Note that a connection broke before a reply; return whether sending together may be the reason."""
        if phase is Phase.mail:
            if grouping is Grouping.after_dot:
                self.after_dot.failed()
            return False
        if grouping is Grouping.alone or phase not in (Phase.rcpt, Phase.data):
            return False
        unproven = not self.commands.proven
        self.commands.failed()
        return unproven

    def was_too_early(self, grouping: Grouping, reply: str) -> bool:
        """Return whether MAIL was refused because it came together with others, and note that."""
        if grouping is Grouping.alone or not TOO_EARLY.search(reply):
            return False
        (self.after_dot if grouping is Grouping.after_dot else self.commands).failed()
        return True


NOT_OFFERED = Pipelining(offered=False)
_known: dict[tuple[str, int], Pipelining] = {}


def known(host: str, port: int) -> Pipelining:
    """Return what this process knows of a server that offers PIPELINING."""
    return _known.setdefault((host, port), Pipelining())
