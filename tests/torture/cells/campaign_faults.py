"""Campaigns that are launched at once by many, changed while they run, or hold rows that cannot be sent."""

from __future__ import annotations

from tests.support.project import person
from tests.torture.cell import Cell
from tests.torture.setup import DOMAIN, Setup
from tests.torture.trial import Trial

LAUNCHES = 10
POISONED = """<!doctype html>
<html lang="en"><head><title>Hello</title></head><body>
<p>Dear {{ customer.first_name }}{% if customer.first_name == "poison" %}{{ 1 // 0 }}{% endif %}</p>
<p><a href="{{ links.unsubscribe }}">Unsubscribe</a>, {{ sender.postal_address }}</p>
</body></html>
"""
#: Addresses that no plan should take, or no server.
BAD_ADDRESSES = (
    "no-at-sign",
    "two words@mail.example",
    "ü@mail.example",
    f"{'x' * 70}@mail.example",
    "a@",
    "@b.example",
)
HUGE_BYTES = {"ci": 20_000_000, "full": 200_000_000}
POISON_ROWS = 5


def launch_at_once(trial: Trial) -> None:
    """Launch one campaign by ten commands at once, beside two clocks and two workers."""
    trial.write_campaign()
    trial.run_command("plan hello")
    commands = [trial.start("launch hello") for _ in range(LAUNCHES)]
    codes = [command.popen.wait(120) for command in commands]
    trial.faults["launch at the same time"] += len(codes)
    trial.detail["exit codes"] = codes
    if codes.count(0) != 1:
        trial.problems.append(f"{codes.count(0)} of {LAUNCHES} launches succeeded instead of one")
    trial.take_only_run()


def change_files(trial: Trial) -> None:
    """Save other templates and rules in the middle of the run, and restart the workers, which read them."""
    for index in trial.moments():
        (trial.shop.folder / "templates/hello/subject.txt").write_text(f"Changed {index}")
        (trial.shop.folder / "rules/audiences/everyone.yaml").write_text(
            f"audience: everyone\nwho: {{not: {{consent: offers}}}}\n# {index}\n"
        )
        if index % 2:
            trial.kill(trial.busiest())
        else:
            worker = trial.busiest()
            trial.workers.remove(worker)
            trial.start_worker()
            worker.terminate(60)
        trial.faults["files changed"] += 1


def only_frozen_version(trial: Trial) -> list[str]:
    changed = [event["rcpt"] for event in trial.sink.acceptances() if not event["subject"].startswith("Hello")]
    return [f"{len(changed)} mails have the changed subject: {', '.join(changed[:3])}"] if changed else []


def poison(trial: Trial) -> None:
    """Add customers whose mails cannot be made or addressed, and send them with all others."""
    number = len(trial.shop.customers)
    rows = [person(f"p{n}", f"poison{n}@{DOMAIN}") | {"first_name": "poison"} for n in range(POISON_ROWS)]
    rows += [person(f"b{n}", bad) for n, bad in enumerate(BAD_ADDRESSES)]
    rows.append(person("huge", f"huge@{DOMAIN}") | {"first_name": "A" * HUGE_BYTES[trial.size.name]})
    trial.shop.add(rows)
    trial.faults["poison row"] += len(trial.shop.customers) - number
    trial.run_id = trial.launch()
    trial.start_worker()


def only_the_poisoned_fail(trial: Trial) -> list[str]:
    failed = {row["email"]: f"{row['state']}: {row['reason']}" for row in trial.rows() if row["state"] != "sent"}
    trial.detail["not sent"] = failed
    return []


def poisoned(recipient: str) -> str | None:
    if recipient.startswith(("poison", "huge")) or recipient in BAD_ADDRESSES:
        return "skipped"
    return None


CELLS = (
    Cell(
        "F15",
        "ten launches of one campaign at once, two clocks, two workers",
        launch_at_once,
        Setup(launched=False, beside=("clock", "clock"), workers=2, behaviour={"delay": 0.02}, lease=10.0),
    ),
    Cell("F16", "templates and rules change in the middle of a run", change_files, inspect=only_frozen_version),
    Cell(
        "F17",
        "rows whose mail cannot be made or addressed",
        poison,
        Setup(
            launched=False,
            workers=0,
            ending=poisoned,
            files={"templates/hello/body.html": POISONED},
            behaviour={"delay": 0.02},
        ),
        only_the_poisoned_fail,
    ),
)
