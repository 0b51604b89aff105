"""Mail servers that refuse, hang up or dawdle in each phase of a transaction."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.torture.cell import Cell
from tests.torture.setup import Setup
from tests.torture.trial import Trial, instant

#: By the number of the recipient. What fails only once or twice is sent in the end, the rest is refused.
REFUSALS = (
    "451-rcpt-1x", "450-data-1x", "451-dot-1x", "421-rcpt-1x", "421-data-1x", "421-dot-1x", "550-rcpt", "554-data",
    "554-dot",
)  # fmt: skip
GREYLIST = "greylist-rcpt-2x"
#: The server has the message, or its state is unknown.
LEFT_OPEN = ("fin-dot", "rst-dot", "fin-after-accept", "rst-after-accept")
#: The client may have sent the dot before it learns that the server has left: then it cannot know more.
MAY_BE_LEFT_OPEN = ("fin-body", "rst-body")
HANG_UPS = ("fin-rcpt", "rst-rcpt", "fin-data", "rst-data", *MAY_BE_LEFT_OPEN, *LEFT_OPEN)
#: Waits of the retry schedule, in seconds, and how much they may differ (in shares).
RETRY_WAITS, TOLERANCE = (60.0, 300.0, 900.0), 0.1
SLOW_SECONDS = {"ci": 10.0, "full": 60.0}
#: The share of the usual rate that is to be left to all others while a tenth of the recipients dawdles.
LEAST_RATE = 0.9


def refusing(number: int) -> str:
    if number % 40 == 0:
        return f"{GREYLIST}-c{number}"
    return f"{REFUSALS[number % 20]}-c{number}" if number % 20 < len(REFUSALS) else f"c{number}"


def refused(recipient: str) -> str | None:
    return "refused" if recipient.startswith(("550-", "554-")) else None


def refuse(trial: Trial) -> None:
    """Let MAIL and connections fail at first, too; then wait until every retry is over."""
    for action in ("421", "451", "554"):
        trial.sink.change(mail=action, connect="421" if action == "421" else "", every=50)
        time.sleep(1.5)
    trial.sink.change(mail="", connect="")
    trial.wait_until(lambda: not trial.state_of("pending") + trial.state_of("claimed"), 120, "all were tried once")
    # On time as the ledger has it: when it is due, compared with when the server refused it.
    trial.detail["retry waits"] = retry_waits(trial)
    trial.pass_retries()
    _count(trial)


def retry_waits(trial: Trial) -> dict[str, float]:
    """Return the shortest and the longest wait for a second attempt, of those that were refused once."""
    refusals = defaultdict(list)
    for event in trial.sink.read():
        if event["phase"] != "accepted" and event["rcpt"]:
            refusals[event["rcpt"]].append(event["time"])
    waits = [
        instant(row["next_attempt_at"]) - refusals[row["email"]][0]
        for row in trial.rows()
        if row["state"] == "deferred" and row["attempts"] == 1 and len(refusals[row["email"]]) == 1
    ]
    return {"rows": len(waits), "shortest": round(min(waits, default=0), 1), "longest": round(max(waits, default=0), 1)}


def retries_on_time(trial: Trial) -> list[str]:
    waits = trial.detail["retry waits"]
    first = RETRY_WAITS[0]
    on_time = first * (1 - TOLERANCE) <= waits["shortest"] <= waits["longest"] <= first * (1 + TOLERANCE)
    return [] if on_time else [f"retries do not wait {first:.0f} s ± {TOLERANCE:.0%}: {waits}"]


def hanging_up(number: int) -> str:
    return f"{HANG_UPS[number % 20]}-1x-c{number}" if number % 20 < len(HANG_UPS) else f"c{number}"


def hang_up(trial: Trial) -> None:
    for action in ("fin", "rst"):
        trial.sink.change(mail=action, connect=action, every=50)
        time.sleep(1.5)
    trial.sink.change(mail="", connect="")
    names = [hanging_up(n) for n in range(1, trial.customers + 1)]
    trial.in_doubt += sum(name.startswith((*LEFT_OPEN, *MAY_BE_LEFT_OPEN)) for name in names)
    trial.pass_retries()
    _count(trial)


def classified(trial: Trial) -> list[str]:
    """Check that exactly what the server left open is in doubt, phase by phase."""
    left_open = {row["email"] for row in trial.rows() if row["email"].startswith(LEFT_OPEN)}
    if trial.at_least_once:
        copies = Counter(event["rcpt"] for event in trial.sink.acceptances())
        twice = {recipient for recipient, number in copies.items() if number > 1}
        expected = {recipient for recipient in left_open if "after-accept" in recipient}
        return _differences("were sent again", twice, expected)
    unconfirmed = {
        row["email"]
        for row in trial.rows()
        if row["state"] == "unconfirmed" and not row["email"].startswith(MAY_BE_LEFT_OPEN)
    }
    return _differences("are unconfirmed", unconfirmed, left_open)


def dawdling(number: int) -> str:
    action = ("slow-dot", "tarpit-rcpt", "deaf-body")[number // 10 % 3]
    return f"c{number}" if number % 10 else f"{action}-c{number}@dawdling.example"


def dawdle(trial: Trial) -> None:
    """Send one run at the usual speed, and another to the same recipients, one of whose domains dawdles."""
    usual = _rate_of_others(trial)
    trial.wait_until(trial.finished, trial.size.patience / 3, "the run without dawdlers is finished")
    trial.sink.forget()
    trial.sink.change(slow=SLOW_SECONDS[trial.size.name])
    trial.run_id = trial.launch("dawdled")
    slowed = _rate_of_others(trial)
    trial.faults["slow transaction"] += trial.customers // 10
    trial.detail |= {"others per second": round(usual), "beside dawdlers": round(slowed)}


def _rate_of_others(trial: Trial) -> float:
    """Return how many mails a second go to recipients whose servers do not dawdle, over nine tenths of them."""
    others = [n for n in range(1, trial.customers + 1) if n % 10]
    goal = int(len(others) * 0.9)

    def times() -> list[float]:
        return [event["at"] for event in trial.sink.acceptances() if event["rcpt"].startswith("c")]

    trial.wait_until(lambda: len(times()) >= goal, trial.size.patience / 2, "nine tenths of the others have arrived")
    arrived = times()[:goal]
    return (len(arrived) - 1) / (arrived[-1] - arrived[0]) if len(arrived) > 1 else 0.0


def others_keep_their_rate(trial: Trial) -> list[str]:
    usual, slowed = trial.detail["others per second"], trial.detail["beside dawdlers"]
    if slowed >= LEAST_RATE * usual:
        return []
    return [f"others got {slowed} mails/s beside dawdlers, {usual} without: less than {LEAST_RATE:.0%}"]


def _differences(what: str, found: Iterable[str], expected: Iterable[str]) -> list[str]:
    wrong = sorted(set(found) ^ set(expected))
    return [f"{len(wrong)} {what} against the rules: {', '.join(wrong[:3])}"] if wrong else []


def _count(trial: Trial) -> None:
    for event in trial.sink.read():
        if event["phase"] != "accepted":
            trial.faults[f"{event['act']} at {event['phase']}"] += 1


CELLS = (
    Cell(
        "F10",
        "SMTP 4xx, 5xx and 421 in each phase, and greylisting",
        refuse,
        Setup(local=refusing, ending=refused, shifted=True, behaviour={"delay": 0.05}),
        retries_on_time,
    ),
    Cell(
        "F11",
        "SMTP connections that end in each phase, and after the acceptance",
        hang_up,
        Setup(local=hanging_up, shifted=True, behaviour={"delay": 0.05}),
        classified,
    ),
    Cell(
        "F12",
        "SMTP servers that dawdle: slow replies, byte by byte, nothing read",
        dawdle,
        Setup(local=dawdling, behaviour={"delay": 0.05, "slow": 0.0}, campaign="repeat: yes\n", lease=5.0),
        others_keep_their_rate,
    ),
)
