"""The full loop by webhook: Mailshot sends, the provider reports what became of the mail, and the next plan differs."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_string
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mailshot.bootstrap import App
from mailshot.campaign import plan
from mailshot.deliver import pipeline
from mailshot.errors import SettingsError
from mailshot.store.engine import Store
from mailshot.webhooks.providers import PROVIDERS
from tests.support import customer_site, project
from tests.support import provider_webhooks as requests
from tests.support.processes import Sink
from tests.support.project import Shop
from tests.support.provider_webhooks import MailIds

#: The headers that a mail has for each provider, besides its Message-ID and the envelope's sender.
HEADERS = {
    "sendgrid": "X-SMTPAPI", "postmark": "X-PM-Metadata-mailshot", "resend": "X-Mailshot-Id",
    "brevo": "X-Mailin-custom",
    "mailjet": "X-MJ-CustomID",
}  # fmt: skip
NAMES = {"hard", "complaint", "unsubscribe", "silent"}


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    opened = Shop.open(store, tmp_path / "shop")
    opened.add([project.person(name, f"{name}@mail.example") for name in sorted(NAMES)])
    return opened


@pytest.mark.parametrize("source", PROVIDERS)
def test_what_a_provider_reports_changes_the_next_plan(
    shop: Shop, sink: Sink, app: Callable[..., App], source: str
) -> None:
    made = app(**{f"webhook_{source}": requests.SETTINGS[source]})
    run_id = shop.launch(shop.campaign("hello", "repeat: yes\n"))
    pipeline.send_batch(made.send_settings, run_id, 1000, threading.Event())
    site = customer_site.site(
        shop.store, webhooks=made.webhooks, fetch_from_aws=lambda url: requests.CERTIFICATE, keys=made.keys
    )
    with TestClient(site) as client:
        for number, mail in enumerate(sink.entries()):
            kind = mail["rcpt"].partition("@")[0]
            ids = ids_of(source, mail["from"], mail["data"], mail["rcpt"])
            posted = requests.post(source, "delivered" if kind == "silent" else kind, ids, datetime.now(UTC), number)
            answer = client.post(f"/webhooks/{source}", content=posted.body, headers=dict(posted.headers))
            assert answer.status_code == 200
    now = datetime.now(UTC)
    made_plan = plan.make_plan(shop.store, shop.campaign("hello", "repeat: yes\n"), now, now)
    assert made_plan.left_out == {"suppressed": 2}
    assert made_plan.mails == 1


def ids_of(source: str, envelope_from: str, data: str, recipient: str) -> MailIds:
    """Return what the provider repeats of a mail as it was sent: only that can name the mail."""
    headers = message_from_string(data)
    present = {name for name in HEADERS.values() if name in headers}
    assert present == ({HEADERS[source]} if source in HEADERS else set())
    unknown = "unknown@mail.example"
    if source in HEADERS:
        value = str(headers[HEADERS[source]])
        token = json.loads(value)["unique_args"]["mailshot"] if source == "sendgrid" else value
        assert re.fullmatch(r"b\+[0-9a-v]{28,62}", token), "ids only, in what every provider's field can hold"
        return MailIds(f"{token}@x.example", unknown, recipient)
    if source == "ses":
        return MailIds(envelope_from, unknown, recipient)
    return MailIds(unknown, str(headers["Message-ID"]).strip("<>"), recipient)


def test_mails_have_no_such_header_without_a_webhook(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    run_id = shop.launch(shop.campaign("hello", "repeat: yes\n"))
    pipeline.send_batch(app().send_settings, run_id, 1000, threading.Event())
    assert len(sink.entries()) == len(NAMES)
    for mail in sink.entries():
        assert not [name for name in HEADERS.values() if name in message_from_string(mail["data"])]


@pytest.mark.parametrize("source", ["ses", "sendgrid"])
def test_a_missing_package_is_named_at_the_start(
    shop: Shop, app: Callable[..., App], source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(SettingsError) as caught:
        _ = app(**{f"webhook_{source}": requests.SETTINGS[source]}).webhooks
    assert f"MAILSHOT_WEBHOOK_{source.upper()}" in str(caught.value)
    assert "mailshot[webhooks]" in str(caught.value)
