"""Webhooks as an operator sets them up and looks at what came back."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

import httpx
import pytest

from mailshot.store.engine import Store
from mailshot.web import server
from tests.cli.test_errors import INVALID, tried
from tests.support import customer_site
from tests.support import provider_webhooks as requests
from tests.support.customer_site import ADA, KEYS, RUN
from tests.support.project import Shop
from tests.support.provider_webhooks import MailIds


def test_status_and_list_name_the_providers(shop: Shop) -> None:
    environment = {"MAILSHOT_WEBHOOK_BREVO": requests.CREDENTIALS, "MAILSHOT_WEBHOOK_SENDGRID": requests.public_key()}
    code, printed = tried(shop, "mailbox", "status", **environment)
    assert code == 0
    assert "Webhooks: sendgrid, brevo." in printed
    assert requests.CREDENTIALS not in printed
    code, printed = tried(shop, "mailbox", "status", "--json", **environment)
    assert json.loads(printed)["webhooks"] == ["sendgrid", "brevo"]
    assert json.loads(tried(shop, "mailbox", "status", "--json")[1])["webhooks"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("SENDGRID", "canary-no-key"), ("RESEND", "whsec_canary"), ("SES", "canary"), ("MAILJET", "a:canary")],
)
def test_a_malformed_setting_is_named_without_its_value(shop: Shop, name: str, value: str) -> None:
    code, printed = tried(shop, "mailbox", "status", **{f"MAILSHOT_WEBHOOK_{name}": value})
    assert code == INVALID
    assert f"MAILSHOT_WEBHOOK_{name} is malformed." in printed
    assert "canary" not in printed


def test_a_real_server_logs_nothing_of_a_request(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    customer_site.seed(store)
    port, mail = customer_site.free_port(), MailIds.of(KEYS, RUN, ADA)
    site = server.ThreadedServer(customer_site.site(store, webhooks=requests.webhooks()), "127.0.0.1", port)
    site.start()
    statuses = set()
    try:
        for source in ("standard", "sendgrid", "mailgun", "postmark", "resend", "brevo", "mailjet"):
            posted = requests.post(source, "hard", mail, datetime.now(UTC))
            for body in (posted.body, posted.body[:-9]):
                url = f"http://127.0.0.1:{port}/webhooks/{source}?secret=canary-in-query"
                with httpx.Client() as client:
                    logging.getLogger("httpx").disabled = logging.getLogger("httpcore").disabled = True
                    statuses.add(client.post(url, content=body, headers=dict(posted.headers)).status_code)
    finally:
        logging.getLogger("httpx").disabled = logging.getLogger("httpcore").disabled = False
        site.stop()
    assert statuses == {200, 400, 401}
    assert [text for text in ("canary", mail.token, requests.WHSEC) if text in caplog.text] == []
