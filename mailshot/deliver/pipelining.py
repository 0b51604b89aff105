"""Whether a server may be sent several commands at a time (RFC 2920), as this process has found out.

A server offers PIPELINING in its reply to EHLO. Some that do, or a firewall in front of them, lose pipelined commands:
a reply never comes, or the connection breaks. The mail is not harmed: its dot was not sent. From then on the server
gets one command at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class Pipelining:
    """What is known of one server: MAIL, RCPT and DATA together, and the same after the dot of the mail before."""

    commands: Experience = field(default_factory=Experience)
    after_dot: Experience = field(default_factory=Experience)


_known: dict[tuple[str, int], Pipelining] = {}


def known(host: str, port: int) -> Pipelining:
    """Return what this process knows of a server."""
    return _known.setdefault((host, port), Pipelining())


def forget() -> None:
    """Forget all servers."""
    _known.clear()
