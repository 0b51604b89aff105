"""Ten customers, from what they or their server say to the next plan and the next mail: see docs/feedback.md."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailshot.bootstrap import App
from mailshot.campaign import plan
from mailshot.deliver import pipeline
from mailshot.feedback import incoming_mail as applying
from mailshot.feedback import preferences
from mailshot.feedback.preference_controls import RequestedChanges
from mailshot.feedback.preferences import PreferenceChange
from mailshot.profile import address
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import IncomingSource
from mailshot.store import dialect, inboxes, incoming_mail, privacy, suppression, tables
from mailshot.store.engine import Store
from mailshot.store.incoming_mail import RawMail
from tests.support import project, returned_mail
from tests.support.processes import Sink
from tests.support.project import Shop

ADDRESS_KEY = bytes.fromhex(project.ADDRESS_KEY)
WHO = ("back", "moved", "shares", "erased", "complains", "leaves", "pauses", "stops", "away", "blocked")


class Story:
    """A shop with ten customers, its real mails, and what comes back."""

    def __init__(self, shop: Shop, app: App, sink: Sink) -> None:
        self.shop, self.app, self.sink, self.runs = shop, app, sink, 0
        self.ids = {who: shop.add([project.person(who, f"{who}@mail.example")])[0] for who in WHO}
        self.ids["mate"] = shop.add([project.person("mate", "shares@mail.example")])[0]

    def send(self) -> dict[str, dict[str, Any]]:
        """Mail everybody who may be mailed, and return the new mails by the customer's name."""
        before, self.runs = len(self.sink.entries()), self.runs + 1
        run_id = self.shop.launch(self.shop.campaign(f"week {self.runs}", "repeat: yes\n"))
        pipeline.send_batch(self.app.send_settings, run_id, 1000, threading.Event())
        return {mail["rcpt"].partition("@")[0]: mail for mail in self.sink.entries()[before:]}

    def take(self, raw: bytes, recipient: str | None) -> None:
        applying.take(self.shop.store, RawMail(raw, IncomingSource.pipe, recipient, datetime.now(UTC)))
        applying.process_waiting(self.shop.store, self.app.keys, lambda: datetime.now(UTC))

    def left_out(self) -> dict[str, int]:
        now = datetime.now(UTC)
        edition = self.shop.campaign("next", "repeat: yes\n")
        left_out = plan.make_plan(self.shop.store, edition, now, now).left_out
        return {reason: number for reason, number in left_out.items() if reason != "same address"}

    def choose(self, who: str, requested: RequestedChanges) -> None:
        """Save what the customer chose on the preference page."""
        rules = Rulebook.load(self.shop.folder)
        change = PreferenceChange(self.ids[who], None, requested, datetime.now(UTC))
        with self.shop.store.write() as connection:
            preferences.save_changes(connection, change, rules.topics, rules.statements)

    def lift(self, who: str) -> None:
        with self.shop.store.write() as connection:
            hashed = address.hash_address(ADDRESS_KEY, f"{who}@mail.example")
            assert suppression.lift_suppression(connection, hashed)

    def suppressed(self, *names: str) -> set[str]:
        """Return the local parts whose addresses are suppressed."""
        hashes = {name: address.hash_address(ADDRESS_KEY, f"{name}@mail.example") for name in names}
        with self.shop.store.read() as connection:
            return {name for name, hashed in hashes.items() if suppression.find_suppression(connection, hashed)}

    def change_address(self, who: str, new: str) -> None:
        customer, row = dialect.table(tables.Customer), project.person(who, new)
        with self.shop.store.write() as connection:
            inboxes.leave(connection, [self.ids[who]], datetime.now(UTC))
            values = {"email": row["email"], "address_hash": row["address_hash"]}
            connection.execute(customer.update().where(customer.c.id == self.ids[who]).values(**values))


@pytest.fixture
def story(store: Store, tmp_path: Path, sink: Sink, app: Callable[..., App]) -> Story:
    return Story(Shop.open(store, tmp_path / "shop"), app(mailbox="pipe"), sink)


def test_a_customer_who_bounces_and_comes_back(story: Story) -> None:
    mails = story.send()
    story.take(returned_mail.bounce(mails["back"], "hard"), mails["back"]["from"])
    assert story.left_out() == {"suppressed": 1}
    assert "back" not in story.send()
    story.lift("back")
    assert "back" in story.send()
    story.take(returned_mail.bounce(mails["back"], "hard"), mails["back"]["from"])
    assert story.left_out() == {}, "a server that repeats the same message suppresses nothing again"


def test_a_customer_who_changes_address_and_returns_to_it(story: Story) -> None:
    first = story.send()["moved"]
    story.change_address("moved", "moved2@mail.example")
    story.take(returned_mail.bounce(first, "hard"), first["from"])
    second = story.send()["moved2"]
    story.take(returned_mail.bounce(second, "soft"), second["from"])
    assert story.left_out() == {}
    story.change_address("moved", "moved@mail.example")
    assert story.left_out() == {"suppressed": 1}, "the first address is still refused"


def test_a_late_bounce_is_about_the_address_that_the_mail_went_to(story: Story) -> None:
    """The customer had the addresses A, B, A and C, and got a mail at each."""
    mails, names = [], ("moved", "b", "moved", "c")
    for name, following in zip(names, (*names[1:], None), strict=True):
        mails.append(story.send()[name])
        if following:
            story.change_address("moved", f"{following}@mail.example")
    assert [mail["rcpt"].partition("@")[0] for mail in mails] == list(names)
    story.shop.add([project.person(f"heir of {name}", f"{name}@mail.example") for name in ("moved", "b")])
    story.take(returned_mail.bounce(mails[0], "hard"), mails[0]["from"])
    assert story.suppressed("moved", "b", "c") == {"moved"}
    story.take(returned_mail.complaint(mails[1]), "fbl@bay.example.com")
    assert story.suppressed("moved", "b", "c") == {"moved", "b"}
    assert story.left_out() == {"suppressed": 2}
    story.take(returned_mail.bounce(mails[3], "hard"), mails[3]["from"])
    assert story.suppressed("moved", "b", "c") == {"moved", "b", "c"}


def test_customers_who_share_an_inbox(story: Story) -> None:
    story.send()
    mails = [mail for mail in story.sink.entries() if mail["rcpt"] == "shares@mail.example"]
    assert len(mails) == 1, "an inbox gets a mail once"
    story.take(returned_mail.unsubscribe(mails[0]), returned_mail.leave_address(mails[0]))
    assert "shares" not in story.send(), "a withdrawal by one of them binds the inbox"


def test_a_customer_who_is_erased_while_a_bounce_is_on_its_way(story: Story) -> None:
    mail = story.send()["erased"]
    with story.shop.store.write() as connection:
        assert privacy.erase(connection, story.ids["erased"], ADDRESS_KEY, "test", datetime.now(UTC))
    for raw in (returned_mail.bounce(mail, "hard"), returned_mail.reply(mail, "I am Eve of 1 Quay.\n")):
        story.take(raw, mail["from"])
    story.take(returned_mail.unsubscribe(mail), returned_mail.leave_address(mail))
    with story.shop.store.read() as connection:
        assert incoming_mail.latest(connection, [], False, 10) == []
        held = suppression.find_suppression(connection, address.hash_address(ADDRESS_KEY, "erased@mail.example"))
    assert held is not None
    assert held["reason"] == "erased"
    assert "erased" not in story.send()


def test_a_customer_who_complains_and_signs_up_again(story: Story) -> None:
    mail = story.send()["complains"]
    story.take(returned_mail.complaint(mail), "fbl@bay.example.com")
    assert "complains" not in story.send()
    story.choose("complains", RequestedChanges(topics={"offers": False}))
    story.choose("complains", RequestedChanges(topics={"offers": True}))
    assert "complains" not in story.send(), "only the owner of the shop lifts a complaint"
    story.lift("complains")
    assert "complains" in story.send()


def test_a_customer_who_unsubscribes_by_a_mail_of_long_ago(story: Story) -> None:
    mail = story.send()["leaves"]
    run = dialect.table(tables.Run)
    delivery = dialect.table(tables.Delivery)
    long_ago = datetime.now(UTC) - timedelta(days=900)
    with story.shop.store.write() as connection:
        connection.execute(run.update().values(launched_at=long_ago, as_of=long_ago, state="finished"))
        connection.execute(delivery.update().values(dotted_at=long_ago, settled_at=long_ago))
    assert "leaves" in story.send()
    story.take(returned_mail.unsubscribe(mail), returned_mail.leave_address(mail).upper())
    assert "leaves" not in story.send()
    story.choose("leaves", RequestedChanges(topics={"offers": True}))
    story.take(returned_mail.unsubscribe(mail), returned_mail.leave_address(mail).upper())
    assert "leaves" in story.send(), "the same message a second time is no new request"
    story.take(returned_mail.unsubscribe(mail) + b"please", returned_mail.leave_address(mail))
    assert "leaves" not in story.send()


def test_a_customer_who_pauses_and_resumes(story: Story) -> None:
    story.send()
    story.choose("pauses", RequestedChanges(pause_days=30))
    assert story.left_out() == {"paused": 1}
    assert "pauses" not in story.send()
    story.choose("pauses", RequestedChanges(pause_days=0))
    assert "pauses" in story.send()


@pytest.mark.parametrize("text", ["STOP", "Please remove me.", "Bitte keine weiteren Mails.", "Désinscription svp"])
def test_a_customer_who_replies_to_stop_is_shown_to_the_owner(story: Story, text: str) -> None:
    mail = story.send()["stops"]
    story.take(returned_mail.reply(mail, f"{text}\n"), returned_mail.from_address(mail))
    with story.shop.store.read() as connection:
        (record,) = incoming_mail.latest(connection, [], False, 10)
    assert (str(record.kind), record.customer, record.effect) == ("reply", "stops", "")
    assert record.verdict.get("asks_to_stop") is True
    assert "stops" in story.send(), "nothing is guessed into a withdrawal"


def test_automatic_answers_and_blocks_change_nothing(story: Story) -> None:
    for number in range(6):
        mails = story.send()
        story.take(returned_mail.out_of_office(mails["away"]) + str(number).encode(), mails["away"]["from"])
        story.take(returned_mail.bounce(mails["blocked"], "block"), mails["blocked"]["from"])
    assert story.left_out() == {}
