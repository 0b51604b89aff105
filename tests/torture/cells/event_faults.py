"""A flood of events from customers and mail providers: repeated, in any order, to a web process that is killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import httpx

from mailshot.tokens import KeyRing, Purpose
from tests.support import project, provider_webhooks
from tests.support.provider_webhooks import BROWSER, WHSEC, MailIds
from tests.torture.cell import Cell
from tests.torture.setup import Setup
from tests.torture.trial import Trial

KEYS = KeyRing.parse(project.KEYS)
COPIES = 10
SENDERS = 6
#: The web process is killed so often during the flood.
KILLS = {"ci": 3, "full": 20}
#: A request is repeated until it is answered, as mail providers and mail programs do, for so many seconds.
PATIENCE_SECONDS = 60.0
EVENTS = ("hard", "soft", "complaint", "one-click", "click", "open")
#: The kinds of feedback that the events are stored as.
KINDS = {
    "hard": "bounced", "soft": "bounced", "complaint": "complained", "one-click": "unsubscribed", "click": "clicked",
    "open": "opened",
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """What happened to one customer's mail."""

    number: int
    kind: str
    customer: int
    at: datetime


def flood(trial: Trial) -> None:
    """Report each event of half the customers ten times, in any order, while the web process is killed."""
    trial.wait_for(int(trial.customers * 0.6))
    trial.wait_until(trial.finished, trial.size.patience / 2, "the run is finished")
    chosen = trial.random.sample(trial.shop.customers, trial.customers // 10)
    now = datetime.now(UTC)
    events = [Event(n, EVENTS[n % len(EVENTS)], customer, now) for n, customer in enumerate(chosen)]
    requests = [event for event in events for _ in range(COPIES)]
    trial.random.shuffle(requests)
    link = int(trial.query("SELECT id FROM link WHERE url = 'https://shop.example/new'")[0]["id"])
    requests_left, lock = list(requests), threading.Lock()
    unanswered, url = list[Event](), f"http://127.0.0.1:{trial.web_port}"

    def report() -> None:
        with httpx.Client(base_url=url, headers={"User-Agent": BROWSER}, timeout=20) as client:
            while True:
                with lock:
                    event = requests_left.pop() if requests_left else None
                if event is None:
                    return
                if not _answered(partial(_post, client, trial.run_id, link, event)):
                    unanswered.append(event)

    senders = [threading.Thread(target=report) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    _kill_web(trial, lambda: len(requests_left) / len(requests))
    for sender in senders:
        sender.join()
    trial.faults["repeated event"] += len(requests) - len(events)
    trial.detail |= {"events": len(events), "requests": len(requests), "unanswered": len(unanswered)}
    if unanswered:
        trial.problems.append(f"{len(unanswered)} requests were not answered in {PATIENCE_SECONDS:.0f} s")
    _count(trial, events)


def _kill_web(trial: Trial, left: Callable[[], float]) -> None:
    number = KILLS[trial.size.name]
    for index in range(number):
        while left() > 1 - (index + 1) / (number + 1):
            time.sleep(0.02)
        trial.beside[0].kill()
        trial.beside[0] = trial.start("web")
        trial.faults["SIGKILL of web"] += 1


def _answered(post: Callable[[], httpx.Response]) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        with suppress(httpx.HTTPError):
            if post().status_code < 400:
                return True
        time.sleep(0.1)
    return False


def _post(client: httpx.Client, run_id: int, link: int, event: Event) -> httpx.Response:
    mail = (run_id, event.customer)
    if event.kind == "one-click":
        return client.post(f"/u/{KEYS.sign(Purpose.unsubscribe, *mail)}", data={"List-Unsubscribe": "One-Click"})
    if event.kind == "click":
        return client.get(f"/c/{KEYS.sign(Purpose.click, *mail, link)}")
    if event.kind == "open":
        return client.get(f"/o/{KEYS.sign(Purpose.open, *mail)}")
    ids = MailIds.of(KEYS, *mail)
    request = provider_webhooks.post("standard", event.kind, ids, event.at, event.number)
    return client.post("/webhooks/standard", content=request.body, headers=dict(request.headers))


def _count(trial: Trial, events: list[Event]) -> None:
    """Check that each event counts once: by row where it has an id, by customer where it is a visit."""
    feedback = trial.query(f"SELECT kind, customer_id FROM feedback WHERE run_id = {trial.run_id}")
    for kind in sorted(set(KINDS.values())):
        stored = [int(row["customer_id"]) for row in feedback if row["kind"] == kind]
        happened = {event.customer for event in events if KINDS[event.kind] == kind}
        if set(stored) != happened:
            trial.problems.append(f"{kind}: {len(set(stored))} customers instead of {len(happened)}")
        if kind not in ("clicked", "opened") and len(stored) != len(happened):
            trial.problems.append(f"{kind}: {len(stored)} entries for {len(happened)} events")


CELLS = (
    Cell(
        "F20",
        "each event ten times, in any order, to a web process that is killed",
        flood,
        Setup(
            beside=("web",),
            behaviour={"delay": 0.01},
            tracked=True,
            variables={"MAILSHOT_WEBHOOK_STANDARD": WHSEC},
        ),
    ),
)
