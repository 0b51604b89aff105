"""How large a trial is, and what a cell asks for before its run begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: SMTP connections of each worker.
CONNECTIONS = 20
DOMAIN = "mail.example"


@dataclass(frozen=True)
class Size:
    """How much one trial does: its customers, the faults that it must see, and how long it may take in seconds."""

    name: str
    customers: int
    faults: int
    patience: float


SIZES = {"ci": Size("ci", 2000, 10, 180.0), "full": Size("full", 20_000, 100, 1800.0)}


@dataclass(frozen=True)
class Setup:
    """What a cell needs."""

    #: The address of the n-th recipient, or its local part.
    local: Callable[[int], str] = "c{}".format
    #: The state in which a recipient who is not to get a mail must end; None for all others.
    ending: Callable[[str], str | None] = lambda recipient: None
    #: Of the sink at the start, see `sink.Behaviour`.
    behaviour: Mapping[str, Any] = field(default_factory=lambda: {"delay": 0.08, "step": 0.04})
    #: MAILSHOT_* variables.
    variables: Mapping[str, str] = field(default_factory=dict)
    #: More files of the project, and more YAML of the campaign.
    files: Mapping[str, str] = field(default_factory=dict)
    campaign: str = ""
    #: Seconds.
    lease: float = 2.0
    #: None: one worker on SQLite; two that share a Redis on PostgreSQL.
    workers: int | None = None
    redis: bool | None = None
    #: What the processes reach through a proxy: "smtp", "redis", "database".
    proxies: tuple[str, ...] = ()
    #: Commands beside the workers, such as "clock".
    beside: tuple[str, ...] = ()
    #: The share of the size's customers, for cells in which each takes long.
    share: float = 1.0
    #: Whether the customers consent to tracking, so that their mails have tracked links.
    tracked: bool = False
    #: Whether the trial launches the run itself.
    launched: bool = True
    #: The faults that must have happened, and the time that the trial may take, as shares of the size's.
    faults: float = 1.0
    patience: float = 1.0
    #: Whether the processes' clocks can be changed (`Trial.shift`).
    shifted: bool = False
    #: Whether a SQLite database lies on a small disk of its own.
    small_disk: bool = False
