"""All metrics of Mailshot's processes, declared once: rooms count into them, `http_server` shows them to Prometheus.

A label never holds an address, a customer's number, a token or a run's number: each takes a few known values.
`instruments` holds the classes. docs/operating.md lists every metric, and suggests alerts.
"""

from __future__ import annotations

from mailshot.metrics.instruments import Counter, Gauge, Histogram, Metric
from mailshot.states import DeliveryState, IncomingKind

#: The kinds of processes. `mailshot up` is web and mailbox, and its child process is worker and clock.
WEB, WORKER, CLOCK, MAILBOX = PROCESSES = ("web", "worker", "clock", "mailbox")
#: Seconds, from a commit on a fast disk to the timeout of the final dot.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: A relay is named by its setting.
_DEFAULT = [("MAILSHOT_SMTP",)]
_NUMBERS = (1, 2, 5, 10, 20, 50, 100, 200, 500)

#: How a mail left a worker's hands, by the state that its row went to.
OUTCOMES = {
    DeliveryState.sent: "sent",
    DeliveryState.deferred: "deferred",
    DeliveryState.refused: "refused",
    DeliveryState.unconfirmed: "unconfirmed",
    DeliveryState.skipped: "skipped",
    DeliveryState.pending: "returned",
}
#: The outcome of a mail that was not allowed any more right before its final dot: it is skipped, or written again.
DENIED = "denied"

MAILS = Counter(
    "mailshot_mails",
    "Mails by how they left a worker's hands, as committed in the ledger.",
    (WORKER, CLOCK),
    ("outcome",),
    [(outcome,) for outcome in (*OUTCOMES.values(), DENIED)],
)
ROUND_MAILS = Histogram(
    "mailshot_round_mails",
    "Mails in one round, that is one transaction of the ledger: intents or outcomes, whichever are more.",
    (WORKER,),
    _NUMBERS,
)
ROUND_SECONDS = Histogram(
    "mailshot_round_seconds", "Time of one round, with the wait for other writers and the commit.", (WORKER,), _SECONDS
)
COMMIT_SECONDS = Histogram(
    "mailshot_commit_seconds", "Time of the commit alone at the end of a round.", (WORKER,), _SECONDS
)
REPLY_SECONDS = Histogram(
    "mailshot_reply_seconds",
    "Time from the committed intent to the server's reply to the final dot, or to its loss.",
    (WORKER,),
    (*_SECONDS, 30.0, 60.0, 300.0, 600.0),
)
CONNECTIONS = Gauge("mailshot_smtp_connections", "Open SMTP connections.", (WORKER,), idle=0)
CONNECTION_FAILURES = Counter(
    "mailshot_smtp_connection_failures", "SMTP connections that could not be opened.", (WORKER,), ("relay",), _DEFAULT
)
SENDER_FAULTS = Counter(
    "mailshot_sender_faults",
    "Replies that object to the sender (4.7.x, 5.7.x, or to MAIL), not to a recipient.",
    (WORKER,),
    ("relay",),
    _DEFAULT,
)
UNUSABLE_RELAYS = Gauge(
    "mailshot_unusable_relays", "Relays that are down, or paused after they objected to the sender.", (WORKER,), idle=0
)
CLAIMED = Gauge(
    "mailshot_claimed_mails", "Mails that this process holds: claimed, and not settled yet.", (WORKER,), idle=0
)
RENDERED = Gauge("mailshot_rendered_mails", "Mails that are rendered and wait for a connection.", (WORKER,), idle=0)
LEDGER_FAILURES = Counter(
    "mailshot_ledger_failures", "Times that the ledger could not be written; then no further dot is sent.", (WORKER,)
)
DUE = Gauge("mailshot_due_mails", "Mails of running runs that could be sent now; paused runs do not count.", (CLOCK,))
CLOCK_LAG = Gauge(
    "mailshot_clock_lag_seconds",
    "How late the next check of the clock is. Absent in a standby, which is not the clock.",
    (CLOCK,),
)
LAUNCH_DELAY = Histogram(
    "mailshot_launch_delay_seconds",
    "Time from the moment for which a run was scheduled to its launch.",
    (CLOCK,),
    (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0),
)
REQUESTS = Counter(
    "mailshot_http_requests",
    "Requests by method, route (a pattern, never the path) and status.",
    (WEB,),
    ("method", "route", "status"),
)
REQUEST_SECONDS = Histogram(
    "mailshot_http_request_duration_seconds",
    "Time from a request to the end of its response.",
    (WEB,),
    _SECONDS,
    ("route",),
)
FEEDBACK = Counter(
    "mailshot_feedback_events",
    "Events stored, each once: what customers did, and who or what caused it as far as was known then.",
    (WEB, MAILBOX, CLOCK),
    ("kind", "by"),
)
GROUP_COMMIT_WRITES = Histogram(
    "mailshot_group_commit_writes", "Writes of web requests in one transaction.", (WEB,), _NUMBERS
)
GROUP_COMMIT_SECONDS = Histogram(
    "mailshot_group_commit_seconds", "Time of one such transaction, with the wait for other writers.", (WEB,), _SECONDS
)
INCOMING = Counter(
    "mailshot_incoming_mails",
    "Messages that came back, and stored events of mail providers, by kind.",
    (WEB, MAILBOX, CLOCK),
    ("kind",),
    [(kind.value,) for kind in IncomingKind],
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
