"""The printed sign-up form, sent as a browser would, and the worker that mails the link."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from mailshot import tasks
from mailshot.bootstrap import App
from mailshot.cli import context, processes
from mailshot.cli.main import cli
from mailshot.errors import NotFound
from mailshot.store.engine import Store
from mailshot.store.sign_ups import SIGN_UP
from tests.support import processes as test_processes
from tests.support.processes import Sink
from tests.support.project import Shop

TOPICS = "offers: {title: {en: Offers, de: Angebote}, public: true}\nother: {title: Other}\n"


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop.open(store, tmp_path / "shop", 1, {"rules/topics.yaml": TOPICS})


@pytest.fixture
def run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.chdir(shop.folder)
    for name, value in shop.environment(MAILSHOT_BASE_URL="https://news.example.com").items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["signup", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return invoke


def test_the_printed_form_signs_up_and_the_worker_mails_the_link(
    shop: Shop, run: Callable[..., str], app: Callable[..., App], sink: Sink
) -> None:
    html = run("form", "--lang", "de", "--name", 'foot"er')
    assert '<form method="post" action="https://news.example.com/signup"' in html
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html))
    assert fields == {"lang": "de", "form": "foot&quot;er", "topic": "offers"}
    with TestClient(processes._site(context.app()), "https://news.example.com") as client:
        assert client.post("/signup", data={**fields, "email": "nina@example.com"}).status_code == 200
    stop = threading.Event()
    worker = threading.Thread(target=tasks.work_until, args=(app(), 1, stop))
    worker.start()
    try:
        test_processes.until(lambda: sink.recipients() == {"nina@example.com"}, 60, "the link was mailed")
    finally:
        stop.set()
        worker.join()


def test_the_clock_deletes_what_was_not_confirmed(shop: Shop, app: Callable[..., App], run: Callable[..., str]) -> None:
    old = {"email": "nina@example.com", "address_hash": "ab" * 16, "client_hash": "", "language": "en", "topics": [],
           "form": "", "sender": {}, "state": "sent"}  # fmt: skip
    now = datetime.now(UTC)
    with shop.store.write() as connection:
        for days in (6, 8):
            at = now - timedelta(days=days)
            connection.execute(SIGN_UP.insert().values(**old, asked_at=at, due_at=at))

    def left() -> int:
        with shop.store.read() as connection:
            return len(connection.execute(SIGN_UP.select()).all())

    stop = threading.Event()
    clock = threading.Thread(target=tasks.tick_until, args=(app(), stop))
    clock.start()
    try:
        test_processes.until(lambda: left() == 1, 60, "the old one was deleted")
    finally:
        stop.set()
        clock.join()


def test_an_unknown_language_and_no_public_topic_are_refused(shop: Shop, run: Callable[..., str]) -> None:
    with pytest.raises(NotFound, match="There are no texts in 'it'"):
        run("form", "--lang", "it")
    (shop.folder / "rules/topics.yaml").write_text("offers: {title: Offers}\n")
    with pytest.raises(NotFound, match="No topic is public"):
        run("form")
