"""Checks `doctor --senders` as an operator runs it: a name server, a relay with TLS, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mailshot.deliver import relay_tls
from mailshot.deliver.smtp import Server
from mailshot.store.engine import Store
from tests.cli.test_errors import mailshot
from tests.deliver.test_dkim import SIGN, make_keys
from tests.deliver.test_smtp import trusted  # noqa: F401
from tests.support import processes, project
from tests.support.dns_server import Zone, name_server
from tests.support.project import Shop

DOMAIN = "bay.example.com"
USAGE, UNAVAILABLE = 2, 6


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path) -> Shop:
    more = {"rules/senders.yaml": project.FILES["rules/senders.yaml"] + SIGN}
    made = Shop.open(sqlite_store, tmp_path / "shop", 1, more)
    make_keys(made)
    return made


@pytest.fixture
def zone() -> Zone:
    """Return a zone without SPF, keys and DMARC."""
    made = Zone()
    for line in (
        f"{DOMAIN}. IN MX 10 in.{DOMAIN}.",
        f"news.{DOMAIN}. IN A 203.0.113.3",
        f"out.{DOMAIN}. IN A 203.0.113.9",
        f"9.113.0.203.in-addr.arpa. IN PTR out.{DOMAIN}.",
    ):
        made.add(line)
    return made


def test_what_is_to_be_published_puts_all_right(shop: Shop, zone: Zone) -> None:
    settings = {"MAILSHOT_BASE_URL": f"https://news.{DOMAIN}"}
    with name_server(zone) as address:
        command = ["doctor", "--senders", "--nameserver", address, "--sends-from", "203.0.113.9"]
        first = mailshot(shop, *command, **settings)
        published = [line.partition("publish: ")[2] for line in first.stdout.splitlines() if "publish: " in line]
        for line in published:
            zone.add(line)
        second = mailshot(shop, *command, **settings)
        findings = json.loads(mailshot(shop, *command, "--json", **settings).stdout)
    assert first.returncode == UNAVAILABLE
    assert "✗ SPF: bay.example.com has no SPF record" in first.stdout
    assert [line.split(" ")[0] for line in published] == [
        f"{DOMAIN}.", f"m1._domainkey.{DOMAIN}.", f"e1._domainkey.{DOMAIN}.", f"_dmarc.{DOMAIN}."
    ]  # fmt: skip
    assert second.returncode == 0, second.stdout
    assert {item["level"] for item in findings} == {"ok"}
    assert "✓ alignment: SPF and DKIM prove bay.example.com" in second.stdout
    assert "mailshot send-test" in second.stdout


def test_options_that_are_wrong_are_refused(shop: Shop) -> None:
    for options in (
        ["--senders", "--nameserver", "not a server"],
        ["--senders", "--sends-from", "x"],
        ["--nameserver", "127.0.0.1"],
    ):
        done = mailshot(shop, "doctor", *options)
        assert (done.returncode, done.stdout) == (USAGE, "")


def test_a_relay_must_offer_a_valid_certificate(trusted: Path) -> None:  # noqa: F811
    def problem(*options: str) -> str | None:
        with processes.sink(trusted, *options) as running:
            return relay_tls.find_problem(Server.parse(running.url, "required"))

    assert problem("--certificate", str(trusted / "good.pem")) is None
    for name in ("other", "own"):
        assert str(problem("--certificate", str(trusted / f"{name}.pem"))).startswith("its certificate is not valid: ")
    assert str(problem()).startswith("it does not offer STARTTLS")


def test_a_relay_that_does_not_answer_is_said_to() -> None:
    assert str(
        relay_tls.find_problem(Server.parse(f"smtp://127.0.0.1:{processes.free_port()}", "required"))
    ).startswith("it cannot be reached")
