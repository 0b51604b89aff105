"""Checks the change of an address: asked for by the owner, confirmed at the new address, told to the old one."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy
from email.message import EmailMessage

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from mailshot.bootstrap import App
from mailshot.deliver import address_mails, confirmations, pipeline, requested_mails
from mailshot.feedback.address_change import change_address
from mailshot.profile import address
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import FeedbackKind
from mailshot.store import address_changes, consent, dialect, inboxes, suppressed_digests, suppression, tables
from mailshot.store.address_changes import CHANGE, NewAddress
from mailshot.store.engine import Store
from mailshot.store.suppressed_digests import SuppressedDigest
from mailshot.web import app as pages
from mailshot.web.site import SiteSettings
from tests.support import customer_site as rows
from tests.support import project
from tests.support.pages import form
from tests.support.processes import Sink
from tests.support.project import Shop

BODY = """<p>{{ campaign.name }}: <a href="https://shop.example/new">new</a></p>
<p><a href="{{ links.preferences }}">Preferences</a> <a href="{{ links.unsubscribe }}">Unsubscribe</a>,
{{ sender.postal_address }}</p>
"""
OLD, NEW = "anna@old.example", "anna@new.example"


@pytest.fixture
def mailed(store: Store, shop: Shop, app: Callable[..., App], sink: Sink) -> App:
    """Return an app that has mailed one customer."""
    (shop.folder / "templates/hello/body.html").write_text(BODY)
    shop.add([project.person("anna", OLD)])
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


def mails(sink: Sink, to: str) -> list[EmailMessage]:
    texts = [entry["data"].replace("\r\n", "\n") for entry in sink.entries() if entry["rcpt"] == to]
    read = [message_from_string(text, policy=policy.default) for text in texts]
    assert all(isinstance(mail, EmailMessage) for mail in read)
    return read  # type: ignore[return-value]


def path_in(mail: EmailMessage, start: str) -> str:
    link_path = re.search(rf"http://127\.0\.0\.1:8080({start}[\w/-]+)", mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert link_path
    return link_path[1]


def send(mailed: App) -> int:
    """Send what the pages asked for, as a worker does."""
    now, stop = datetime.now(UTC), threading.Event()
    kinds = (confirmations.LINKS, address_mails.MAILS)
    return sum(requested_mails.send_due(mailed.send_settings, kind, now, stop) for kind in kinds)


def own_page(mailed: App, sink: Sink, client: TestClient) -> tuple[str, str]:
    """Return the path of the customer's own data and the session of its page."""
    preferences = path_in(mails(sink, OLD)[0], "/p/")
    assert client.post(f"{preferences}/data").status_code == 200
    assert send(mailed) == 1
    path = path_in(mails(sink, OLD)[-1], "/d/")
    return path, form(client.post(path).text)["session"][0]


def ask(mailed: App, sink: Sink, client: TestClient, new: str = NEW, query: str = "") -> str:
    """Ask for another address, have the link mailed, and return its path."""
    path, session = own_page(mailed, sink, client)
    answer = client.post(f"{path}/address{query}", data={"session": session, "address": new})
    assert answer.status_code == 200, answer.text
    assert send(mailed) == 1
    return path_in(mails(sink, new)[-1], "/a/")


def emails(mailed: App) -> dict[str, str]:
    c = dialect.table(tables.Customer).c
    with mailed.store.read() as connection:
        return dict(connection.execute(select(c.key, c.email)).all())  # type: ignore[arg-type]


def anna(mailed: App) -> int:
    c = dialect.table(tables.Customer).c
    with mailed.store.read() as connection:
        return int(connection.scalar(select(c.id).where(c.key == "anna")) or 0)


def test_the_new_address_counts_once_it_is_confirmed_there(mailed: App, sink: Sink, client: TestClient) -> None:
    link = ask(mailed, sink, client)
    for _ in range(3):  # scanners fetch links
        assert "Use this address" in client.get(link).text
        assert client.head(link).status_code == 200
    assert emails(mailed)["anna"] == OLD
    assert client.post(link, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert "Your address is changed" in client.post(link).text
    assert emails(mailed)["anna"] == NEW
    assert [client.post(link).status_code, client.get(link).status_code] == [410, 410]
    # The old address is told, once, whom to write to; the mail names no new address.
    assert (send(mailed), send(mailed)) == (1, 0)
    notice = mails(sink, OLD)[-1]
    assert str(notice["Subject"]) == "Your address was changed"
    assert NEW not in str(notice)
    with mailed.store.read() as connection:
        former = connection.execute(select(inboxes.FORMER)).mappings().all()
        kinds = [row["kind"] for row in connection.execute(select(dialect.table(tables.Feedback))).mappings()]
    assert [row["address_hash"] for row in former] == [address.hash_address(mailed.address_key, OLD)]
    assert kinds.count(FeedbackKind.preference_changed) == 1


def test_links_in_mails_to_the_old_address_only_unsubscribe(mailed: App, sink: Sink, client: TestClient) -> None:
    first = mails(sink, OLD)[0]
    preferences, unsubscribe = path_in(first, "/p/"), path_in(first, "/u/")
    client.post(ask(mailed, sink, client))
    assert client.get(preferences).status_code == 404
    assert client.post(unsubscribe, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    with mailed.store.read() as connection:
        assert consent.latest_entries(connection, anna(mailed))["offers"].given is False


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ("", "Please write a whole e-mail address"),
        ("anna@", "Please write a whole e-mail address"),
        ("a@b.example, c@d.example", "Please write a whole e-mail address"),
        ("a@b.example\r\nBcc: x@y.example", "Please write a whole e-mail address"),
        ("jürgen@new.example", "without accents or umlauts"),
        (f" {OLD.upper()} ", "That is the address we have already"),
    ],
)
def test_what_is_no_new_address_is_explained(
    mailed: App, sink: Sink, client: TestClient, new: str, problem: str
) -> None:
    path, session = own_page(mailed, sink, client)
    answer = client.post(f"{path}/address", data={"session": session, "address": new})
    assert (answer.status_code, problem in answer.text) == (422, True)
    assert send(mailed) == 0


def test_only_the_owner_of_the_inbox_can_ask(mailed: App, sink: Sink, client: TestClient) -> None:
    path, session = own_page(mailed, sink, client)
    form = {"session": session, "address": NEW}
    assert client.post(f"{path}/address", data={"address": NEW}).status_code == 410
    assert client.post(f"{path}/address", data=form, headers={"Origin": "https://x.example"}).status_code == 403
    page = client.post(f"{path}/address", data={"session": session})
    assert (page.status_code, OLD in page.text) == (200, True)
    assert send(mailed) == 0


def test_requests_are_limited_and_the_latest_counts(mailed: App, sink: Sink, client: TestClient) -> None:
    first = ask(mailed, sink, client)
    customer, now = anna(mailed), datetime.now(UTC)
    other = NewAddress("b@new.example", address.hash_address(mailed.address_key, "b@new.example"))
    with mailed.store.write() as connection:
        again = address_changes.ask(connection, customer, 1, other, "en", now)
        assert again is not None
        assert timedelta(minutes=9) < again - now <= address_changes.PAUSE
        for _ in range(2):
            now = now + address_changes.PAUSE + timedelta(seconds=1)
            assert address_changes.ask(connection, customer, 1, other, "en", now) is None
        again = address_changes.ask(connection, customer, 1, other, "en", now + timedelta(hours=1))
        assert again is not None
        assert again > now + timedelta(hours=22)
    assert client.post(first).status_code == 410
    assert emails(mailed)["anna"] == OLD


def test_an_address_is_not_filled_with_links_of_many_customers(mailed: App, shop: Shop) -> None:
    victim = NewAddress("v@new.example", address.hash_address(mailed.address_key, "v@new.example"))
    ids = shop.add([project.person(f"k{number}", f"k{number}@bad.example") for number in range(4)])
    with mailed.store.write() as connection:
        asked = [address_changes.ask(connection, customer, 1, victim, "en", datetime.now(UTC)) for customer in ids]
    assert [again is None for again in asked] == [True, True, True, False]


@pytest.mark.parametrize("listed", [False, True])
def test_a_suppressed_address_gets_no_link_and_stays_suppressed(
    mailed: App, sink: Sink, client: TestClient, listed: bool
) -> None:
    """Also one that another system's list names by its SHA-256 only."""
    path, session = own_page(mailed, sink, client)
    hashed = address.hash_address(mailed.address_key, NEW)
    entry = {"reason": "complained", "source": "test", "at": datetime.now(UTC)}
    with mailed.store.write() as connection:
        if listed:
            suppressed_digests.add_digests(connection, [SuppressedDigest(digest=address.digest(NEW), **entry)])
        else:
            suppression.add(connection, hashed, "complained", "test", entry["at"])
    answer = client.post(f"{path}/address", data={"session": session, "address": NEW})
    assert "Check the inbox of the new address" in answer.text
    assert send(mailed) == 0
    assert mails(sink, NEW) == []
    with mailed.store.read() as connection:
        assert suppression.find_suppression(connection, hashed) is not None


def test_what_was_withdrawn_stays_withdrawn_at_both_addresses(mailed: App, sink: Sink, client: TestClient) -> None:
    link, customer = ask(mailed, sink, client), anna(mailed)
    with mailed.store.write() as connection:
        consent.record_consent(connection, customer, "offers", False, datetime.now(UTC), "test")
    client.post(link)
    with mailed.store.read() as connection:
        assert consent.latest_entries(connection, customer)["offers"].given is False
        old = suppression.withdrawn(connection, address.hash_address(mailed.address_key, OLD))
    assert list(old) == ["offers"]


def test_a_request_that_was_not_confirmed_is_deleted_after_a_week(mailed: App, sink: Sink, client: TestClient) -> None:
    ask(mailed, sink, client)
    now = datetime.now(UTC)
    with mailed.store.write() as connection:
        assert address_changes.delete_old(connection, now + timedelta(days=6)) == 0
        assert address_changes.delete_old(connection, now + timedelta(days=8)) == 1
        assert connection.execute(select(CHANGE)).first() is None


def test_two_confirmations_at_once_change_the_address_once(mailed: App, sink: Sink, client: TestClient) -> None:
    ask(mailed, sink, client)
    with mailed.store.read() as connection:
        change = connection.execute(select(CHANGE)).mappings().one()
    with mailed.store.write() as connection:
        assert change_address(connection, change, datetime.now(UTC))
    with mailed.store.write() as connection:
        assert not change_address(connection, change, datetime.now(UTC))


@pytest.mark.parametrize(
    ("tag", "subject", "page"),
    [
        ("de", "Bitte bestätigen Sie Ihre neue Adresse", "Diese Adresse verwenden"),
        ("fr", "Veuillez confirmer votre nouvelle adresse", "Utiliser cette adresse"),
        ("es", "Confirme, por favor, su nueva dirección", "Usar esta dirección"),
    ],
)
def test_mails_and_pages_are_in_the_language_of_the_request(
    mailed: App, sink: Sink, client: TestClient, tag: str, subject: str, page: str
) -> None:
    link = ask(mailed, sink, client, query=f"?lang={tag}")
    assert str(mails(sink, NEW)[-1]["Subject"]) == subject
    assert page in client.get(link, headers={"Accept-Language": "en"}).text
