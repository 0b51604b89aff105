"""Checks what a forwarded mail opens and what only the owner of the inbox can open, with real mails and pages."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy
from email.message import EmailMessage
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from mailshot.bootstrap import App
from mailshot.deliver import confirmations as link_mails
from mailshot.deliver import pipeline, requested_mails
from mailshot.deliver.send_settings import SendSettings
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import confirmations, dialect, tables
from mailshot.store.confirmations import CONFIRMATION
from mailshot.store.engine import Store
from mailshot.store.requested_mails import RETRY, MailState
from mailshot.tokens import Purpose
from mailshot.web import app as pages
from mailshot.web import forms
from mailshot.web.rate_limits import RequestLimits
from mailshot.web.site import SiteSettings
from tests.support import customer_site as rows
from tests.support.answers import say
from tests.support.pages import form
from tests.support.processes import Sink
from tests.support.project import Shop

QUESTIONS = "diet: {title: What do you eat?, values: {vegan: Vegan, everything: Everything}}\n"
BODY = """<p>{{ campaign.name }}: <a href="https://shop.example/new">new</a></p>
<p><a href="{{ links.preferences }}">Preferences</a></p>
<p><a href="{{ links.unsubscribe }}">Unsubscribe</a>, {{ sender.postal_address }}</p>
"""
CANARIES = ("Canaryname", "canary@ada.example", "canary-key", "canary-fact", "canary-card", "canary-cause", "3.1416")
# Beyond the names: how the customer answered, and what was concluded.
TOLD = (*CANARIES, "checked><span>Vegan", "Hello")


@pytest.fixture
def mailed(store: Store, shop: Shop, app: Callable[..., App], sink: Sink) -> App:
    """Return an app that has mailed one customer of whom much is known."""
    for name, text in {"rules/preferences.yaml": QUESTIONS, "templates/hello/body.html": BODY}.items():
        (shop.folder / name).write_text(text)
    (shop.folder / "rules/facts.yaml").write_text("customer: {hobby: {type: text}}\n")
    customer = {"email": "canary@ada.example", "first_name": "Canaryname", "key": "canary-key"}
    customer |= {"facts": {"hobby": "canary-fact"}}
    evidence = {"label": "canary-card", "words": "canary-cause"}
    with store.write() as connection:
        who = shop.customers[0]
        connection.execute(
            update(dialect.table(tables.Customer)).where(dialect.table(tables.Customer).c.id == who).values(**customer)
        )
        trait = {"customer_id": who, "name": "diet", "value": "vegan", "confidence": 0.99, "evidence": evidence}
        connection.execute(dialect.table(tables.Trait).insert().values(**trait, as_of=datetime.now(UTC)))
        say(connection, who, "diet", "vegan", datetime.now(UTC), source="import")
    run = shop.launch()
    made = app()
    pipeline.send_batch(made.send_settings, run, 1000, threading.Event())
    return made


@pytest.fixture
def client(mailed: App, shop: Shop) -> Iterator[TestClient]:
    rules = Rulebook.load(shop.folder)
    settings = SiteSettings(
        brand="Bay Shop",
        topics=rules.topics,
        statements=rules.statements,
        address_key=mailed.address_key,
        facts=rules.catalogue.customer,
        limits=rows.generous(),
    )
    site = pages.create_app(mailed.store, mailed.keys, settings)
    with TestClient(site, "http://127.0.0.1:8080", follow_redirects=False) as opened:
        yield opened


def newest(sink: Sink, to: str = "canary@ada.example") -> EmailMessage:
    """Return the last mail that an address got."""
    return parsed([entry for entry in sink.entries() if entry["rcpt"] == to][-1])


def parsed(entry: dict[str, Any]) -> EmailMessage:
    mail = message_from_string(entry["data"].replace("\r\n", "\n"), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def paths(mail: EmailMessage) -> list[str]:
    """Return the path of every address of ours that stands in a mail, headers and parts."""
    parts = [str(value) for value in mail.values()]
    parts += [part.get_content() for part in mail.walk() if part.get_content_maintype() == "text"]
    return sorted(set(re.findall(r"http://127\.0\.0\.1:8080(/[^\s\"<>]*)", "\n".join(parts))))


def preference_path(sink: Sink) -> str:
    return own_path(sink, "/p/")


def own_path(sink: Sink, start: str) -> str:
    """Return a path of the campaign's mail, which came before those with links to one's own data."""
    first = next(entry for entry in sink.entries() if entry["rcpt"] == "canary@ada.example")
    return next(path for path in paths(parsed(first)) if path.startswith(start))


def everything(client: TestClient, starts: list[str]) -> dict[str, str]:
    """Follow each link and post each form that can be reached, with and without what a thief would add."""
    seen: dict[str, str] = {}
    waiting = list(starts)
    while waiting and len(seen) < 100:
        path = waiting.pop()
        if path in seen:
            continue
        answers = [client.get(path)]
        answers += [
            client.post(path, data=fields) for fields in ({}, {"confirm": "erase", "asked": "yes", "session": "x"})
        ]
        seen[path] = "\n".join(f"{dict(answer.headers)}{answer.text}" for answer in answers)
        paths = re.findall(r'(?:href|action|src)="(/[^"]*)"', seen[path])
        waiting += [link for link in paths if not link.startswith("/static")]
        waiting += [
            answer.headers["location"] for answer in answers if answer.headers.get("location", "").startswith("/")
        ]
        if path.startswith(("/p/", "/d/", "/u/")) and path.count("/") == 2 and "?" not in path:
            waiting += [f"{path}/{below}" for below in ("export", "erase", "data", "save", "topics")]
    return seen


def test_a_forwarded_mail_reveals_nothing_and_erases_nothing(mailed: App, sink: Sink, client: TestClient) -> None:
    reached = everything(client, paths(newest(sink)))
    assert len(reached) > 8
    assert {path: [word for word in TOLD if word in text] for path, text in reached.items()} == {
        path: [] for path in reached
    }
    tokens = {path.split("/")[2].partition("?")[0] for path in reached if path.count("/") > 1}
    others = {
        f"/{letter}/{token}{below}" for letter in "pduco" for token in tokens for below in ("", "/export", "/erase")
    }
    for path in sorted(others):
        for answer in (client.get(path), client.post(path, data={"confirm": "erase", "session": next(iter(tokens))})):
            assert not [word for word in TOLD if word in answer.text], path
    with mailed.store.read() as connection:
        kept = connection.execute(tables_of_ada(mailed)).mappings().one()
    assert (kept["email"], kept["first_name"], kept["key"]) == ("canary@ada.example", "Canaryname", "canary-key")


def tables_of_ada(app: App):  # type: ignore[no-untyped-def]
    customer = dialect.table(tables.Customer)
    return customer.select().where(customer.c.email == "canary@ada.example")


def send_links(post: SendSettings, now: datetime) -> int:
    return requested_mails.send_due(post, link_mails.LINKS, now, threading.Event())


def ask(client: TestClient, sink: Sink) -> str:
    answer = client.post(f"{preference_path(sink)}/data")
    assert answer.status_code == 200
    return answer.text


def link(mailed: App, sink: Sink, client: TestClient) -> str:
    """Ask for the link, have it mailed, and return its path."""
    assert "Check your inbox" in ask(client, sink)
    assert send_links(mailed.send_settings, datetime.now(UTC)) == 1
    (path,) = [path for path in paths(newest(sink)) if path.startswith("/d/")]
    return path


def test_the_owner_sees_downloads_and_erases(mailed: App, sink: Sink, client: TestClient) -> None:
    path = link(mailed, sink, client)
    mail = newest(sink)
    assert (str(mail["Subject"]), str(mail["From"])) == ("Your link to your data", "Bay Shop <hello@bay.example.com>")
    assert mail["List-Unsubscribe"] is None
    for _ in range(3):
        assert "Open my data" in client.get(path).text
    page = client.post(path).text
    for word in (*CANARIES[:-1], "Hello Canaryname"):
        assert word in page
    session = form(page)["session"]
    assert "canary-cause" in client.post(f"{path}/save", data=form(page) | {"judge.diet.vegan": ["right"]}).text
    assert client.post(f"{path}/export", data={"session": session}).json()["customer"][0]["key"] == "canary-key"
    assert "Your data is deleted" in client.post(f"{path}/erase", data={"session": session, "confirm": "erase"}).text
    with mailed.store.read() as connection:
        assert connection.execute(tables_of_ada(mailed)).all() == []


@pytest.mark.parametrize(
    ("tag", "subject", "button"),
    [("de-CH", "Ihr Link zu Ihren Daten", "Meine Daten öffnen"), ("nb", "Your link to your data", "Open my data")],
)
def test_the_mail_with_the_link_is_in_the_customers_language(
    mailed: App, sink: Sink, client: TestClient, tag: str, subject: str, button: str
) -> None:
    customer = dialect.table(tables.Customer)
    with mailed.store.write() as connection:
        connection.execute(customer.update().where(customer.c.email == "canary@ada.example").values(language=tag))
    client.post(f"{preference_path(sink)}/data")
    assert send_links(mailed.send_settings, datetime.now(UTC)) == 1
    assert str(newest(sink)["Subject"]) == subject
    assert f">{button}</a>" in list(sink.entries())[-1]["data"]


def test_a_link_opens_once_even_when_two_open_it_at_once(mailed: App, sink: Sink, client: TestClient) -> None:
    path = link(mailed, sink, client)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: client.post(path), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410]
    ended = client.get(path)
    assert (ended.status_code, "This link has expired" in ended.text) == (410, True)
    assert re.search(r'href="/p/[^"]+/data"', ended.text)


def test_a_session_is_valid_for_its_own_page_only(mailed: App, sink: Sink, client: TestClient, shop: Shop) -> None:
    path = link(mailed, sink, client)
    mine = form(client.post(path).text)["session"][0]
    other = dialect.table(tables.Customer).select().where(dialect.table(tables.Customer).c.id == shop.customers[1])
    with mailed.store.write() as connection:
        email = connection.execute(other).mappings().one()["email"]
        assert confirmations.ask(connection, shop.customers[1], 1, datetime.now(UTC)) is None
        mailbox = mailed.keys.fingerprint(email)
        theirs = f"/d/{mailed.keys.sign(Purpose.confirm, 2, mailbox)}"
    for session in (mine, "", "x", mailed.keys.sign(Purpose.session, 2, 1)):
        for action in ("export", "erase", "save"):
            assert client.post(f"{theirs}/{action}", data={"session": session}).status_code == 410
    assert client.get(theirs).status_code == 200


def test_after_an_hour_link_and_page_have_expired(mailed: App, sink: Sink, client: TestClient) -> None:
    path = link(mailed, sink, client)
    session = form(client.post(path).text)["session"]
    with mailed.store.write() as connection:
        connection.execute(CONFIRMATION.update().values(asked_at=datetime.now(UTC) - timedelta(minutes=61)))
    assert client.get(path).status_code == 410
    assert client.post(f"{path}/export", data={"session": session}).status_code == 410
    assert "Check your inbox" in ask(client, sink)


def test_a_new_address_ends_every_link_but_unsubscribing(mailed: App, sink: Sink, client: TestClient) -> None:
    path = link(mailed, sink, client)
    session = form(client.post(path).text)["session"]
    customer = dialect.table(tables.Customer)
    old, unsubscribe = own_path(sink, "/p/"), own_path(sink, "/u/")
    with mailed.store.write() as connection:
        connection.execute(
            customer.update().where(customer.c.email == "canary@ada.example").values(email="new@ada.example")
        )
    for dead in (path, old, f"{old}/data", f"{unsubscribe}/topics"):
        assert client.get(dead).status_code == 404
    for action in ("export", "erase", "save"):
        assert client.post(f"{path}/{action}", data={"session": session}).status_code == 404
    assert client.post(f"{old}/data").status_code == 404
    assert client.post(unsubscribe, data={"List-Unsubscribe": "One-Click"}).status_code == 200


def test_an_inbox_is_not_flooded(mailed: App, sink: Sink, client: TestClient) -> None:
    began = datetime.now(UTC)
    before = len(sink.entries())
    for turn in range(20):
        if turn:
            assert "You can request another link later" in ask(client, sink)
        else:
            assert "Check your inbox" in ask(client, sink)
        send_links(mailed.send_settings, datetime.now(UTC))
    assert len(sink.entries()) == before + 1
    with mailed.store.write() as connection:
        who = connection.scalar(CONFIRMATION.select().with_only_columns(CONFIRMATION.c.customer_id))
        minutes = range(1, 24 * 60)
        refused = [confirmations.ask(connection, who, 1, began + timedelta(minutes=minute)) for minute in minutes]
    assert refused.count(None) == 5
    assert refused[-1] is not None
    assert began + timedelta(days=1) - timedelta(minutes=1) < refused[-1] < began + timedelta(days=1, minutes=1)


def test_customers_of_one_inbox_share_its_links(mailed: App, shop: Shop) -> None:
    customer = dialect.table(tables.Customer)
    first, second = shop.customers[:2]
    now = datetime.now(UTC)
    with mailed.store.write() as connection:
        connection.execute(customer.update().where(customer.c.id.in_([first, second])).values(address_hash="same"))
        assert confirmations.ask(connection, first, 1, now) is None
        assert confirmations.ask(connection, second, 1, now + timedelta(minutes=1)) == now + confirmations.PAUSE


def state(app: App) -> str:
    with app.store.read() as connection:
        return str(connection.scalars(CONFIRMATION.select().with_only_columns(CONFIRMATION.c.state)).one())


def test_a_link_waits_for_a_server_and_is_mailed_once(
    mailed: App, app: Callable[..., App], sink: Sink, client: TestClient
) -> None:
    ask(client, sink)
    now = datetime.now(UTC)
    assert send_links(app(smtp="smtp://127.0.0.1:9").send_settings, now) == 0
    assert state(mailed) == MailState.asked
    before = len(sink.entries())
    assert send_links(mailed.send_settings, now) == 0, "it waits a while"
    later = now + RETRY + timedelta(seconds=30)
    with ThreadPoolExecutor(4) as threads:
        sent = list(threads.map(lambda _: send_links(mailed.send_settings, later), range(4)))
    assert sum(sent) == len(sink.entries()) - before == 1
    assert state(mailed) == MailState.sent


def test_a_link_that_would_be_too_old_is_not_mailed(mailed: App, sink: Sink, client: TestClient) -> None:
    ask(client, sink)
    assert send_links(mailed.send_settings, datetime.now(UTC) + timedelta(minutes=61)) == 0
    assert send_links(mailed.send_settings, datetime.now(UTC)) == 1


def test_one_download_at_a_time_and_five_an_hour(mailed: App, shop: Shop, sink: Sink, client: TestClient) -> None:
    path = link(mailed, sink, client)
    session = form(client.post(path).text)["session"]
    site = client.app.state.site  # type: ignore[attr-defined]
    site.settings.limits.exports = RequestLimits().exports
    site.exporting.add(shop.customers[0])
    assert client.post(f"{path}/export", data={"session": session}).status_code == 429
    site.exporting.clear()
    answers = [client.post(f"{path}/export", data={"session": session}).status_code for _ in range(6)]
    assert answers == [200] * 5 + [429]


@pytest.mark.parametrize("change", [{"email": "new@ada.example"}, {"email": None, "key": "erased:1"}])
def test_changes_while_a_form_arrives_are_noticed(
    mailed: App, sink: Sink, client: TestClient, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link(mailed, sink, client)
    session = form(client.post(path).text)["session"][0]
    preference = own_path(sink, "/p/")
    customer = dialect.table(tables.Customer)
    arrived = forms.read_form

    async def slow(request: Any) -> Any:
        """Let the customer change before the form has arrived."""
        read = await arrived(request)
        with mailed.store.write() as connection:
            canary = customer.c.key == "canary-key"
            connection.execute(customer.update().where(canary).values(**change))
        return read

    monkeypatch.setattr(forms, "read_form", slow)
    for turn in [f"{path}/export", f"{path}/erase", f"{path}/save", path, preference, f"{preference}/data"]:
        with mailed.store.write() as connection:
            back = customer.update().where(customer.c.first_name == "Canaryname")
            connection.execute(back.values(email="canary@ada.example", key="canary-key"))
        answer = client.post(
            turn, data={"session": session, "confirm": "erase", "shown": "{}", "say.diet": "everything"}
        )
        assert answer.status_code in (404, 410), turn
        assert "new@ada.example" not in answer.text
    with mailed.store.read() as connection:
        assert connection.scalar(
            customer.select().with_only_columns(customer.c.id).where(customer.c.first_name == "Canaryname")
        )
        assert len(connection.execute(CONFIRMATION.select()).all()) == 1


def test_deferred_links_do_not_block_the_others(mailed: App, shop: Shop, sink: Sink) -> None:
    customer = dialect.table(tables.Customer)
    now = datetime.now(UTC)
    with mailed.store.write() as connection:
        for turn, who in enumerate(shop.customers[1:26]):
            email = f"450-rcpt-c{turn}@x.example" if turn < 24 else "good@x.example"
            connection.execute(
                customer.update().where(customer.c.id == who).values(email=email, address_hash=f"h{turn}")
            )
            assert confirmations.ask(connection, who, 1, now + timedelta(seconds=turn)) is None
    assert [send_links(mailed.send_settings, now + timedelta(seconds=30)) for _ in range(3)].count(1) == 1
    assert newest(sink, "good@x.example")


def test_a_stopping_worker_mails_no_further_link(mailed: App, sink: Sink, client: TestClient) -> None:
    ask(client, sink)
    stop = threading.Event()
    stop.set()
    assert requested_mails.send_due(mailed.send_settings, link_mails.LINKS, datetime.now(UTC), stop) == 0
    assert state(mailed) == MailState.asked


def test_a_server_that_hangs_before_the_dot_gets_the_mail_later(
    mailed: App, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = dialect.table(tables.Customer)
    monkeypatch.setattr(requested_mails, "TRANSACTION_SECONDS", 0.5)
    now = datetime.now(UTC)
    for turn, (email, after) in enumerate(
        {"stall-rcpt-a@x.example": MailState.asked, "stall-dot-a@x.example": MailState.sent}.items()
    ):
        who = shop.customers[turn + 1]
        with mailed.store.write() as connection:
            connection.execute(CONFIRMATION.delete())
            connection.execute(customer.update().where(customer.c.id == who).values(email=email, address_hash=email))
            assert confirmations.ask(connection, who, 1, now) is None
        assert send_links(mailed.send_settings, now) == (after is MailState.sent)
        assert state(mailed) == after
