"""Checks the numbers of reports that count several classes of feedback, on both databases."""

from __future__ import annotations

from mailshot.cli import reports as printed
from mailshot.insight import report
from mailshot.states import FeedbackClass, FeedbackKind
from mailshot.store import feedback
from mailshot.store.engine import Store
from tests.support import customer_site
from tests.support.customer_site import ADA, BEN, RUN

NOW = customer_site.BEGAN


def hit(store: Store, customer: int, kind: FeedbackKind, by: FeedbackClass, key: str) -> None:
    with store.write() as connection:
        feedback.record_event(connection, feedback.FeedbackEvent(customer, kind, key, NOW, RUN, by, "why"))


def test_customers_whose_mail_machines_opened_are_counted_once(store: Store) -> None:
    customer_site.seed(store)
    for key, by in (("1", FeedbackClass.proxy), ("2", FeedbackClass.scanner), ("3", FeedbackClass.human)):
        hit(store, ADA, FeedbackKind.opened, by, key)
        hit(store, ADA, FeedbackKind.clicked, by, f"c{key}")
    hit(store, BEN, FeedbackKind.opened, FeedbackClass.unknown, "4")
    (line,) = report.summaries(store, NOW)
    assert (line.opened, line.clicked, line.machine) == (1, 1, 1)
    assert line.as_dict()["machine"] == 1
    hit(store, BEN, FeedbackKind.clicked, FeedbackClass.scanner, "5")
    (line,) = report.summaries(store, NOW)
    assert line.machine == 2
    assert report.load_report(store, line, NOW).as_dict()["machine"] == 2
    assert "the mail of 2 customers" in printed.describe_machines(line.machine)
