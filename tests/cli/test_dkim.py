"""Checks `dkim key`, and what commands say about keys that are missing or unusable."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from mailshot.render import dkim_keys
from mailshot.store.engine import Store
from tests.cli.test_errors import mailshot
from tests.deliver.test_dkim import SIGN, make_keys
from tests.render.test_dkim import is_valid
from tests.support import project
from tests.support.processes import Sink
from tests.support.project import Shop

INVALID, REFUSED = 3, 5


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path) -> Shop:
    more = {"rules/senders.yaml": project.FILES["rules/senders.yaml"] + SIGN}
    return Shop.open(sqlite_store, tmp_path / "shop", 3, more)


def test_an_unusable_key_stops_the_start_of_a_worker(shop: Shop, sink: Sink) -> None:
    make_keys(shop)
    (shop.folder / "dkim" / dkim_keys.file_name("bay.example.com", "m1")).write_bytes(b"nonsense")
    done = mailshot(shop, "worker", MAILSHOT_SMTP=sink.url)
    assert done.returncode == INVALID
    assert "cannot be used: it is not a private key in PEM" in " ".join(done.stderr.split())


def test_plan_and_launch_refuse_a_campaign_that_cannot_be_signed(shop: Shop, sink: Sink) -> None:
    shop.campaign()
    surroundings = {"MAILSHOT_SMTP": sink.url}
    planned = mailshot(shop, "plan", "hello", **surroundings)
    assert planned.returncode == INVALID
    assert "mailshot dkim key --domain bay.example.com --selector m1" in " ".join(planned.stdout.split())
    launched = mailshot(shop, "launch", "hello", **surroundings)
    assert launched.returncode == INVALID
    assert "is missing" in launched.stderr
    make_keys(shop)
    assert mailshot(shop, "plan", "hello", **surroundings).returncode == 0
    assert mailshot(shop, "launch", "hello", **surroundings).returncode == 0


def test_a_test_mail_is_signed(shop: Shop, sink: Sink) -> None:
    make_keys(shop)
    shop.campaign()
    surroundings = {"MAILSHOT_SMTP": sink.url}
    assert mailshot(shop, "plan", "hello", **surroundings).returncode == 0
    done = mailshot(shop, "send-test", "hello", "me@example.com", **surroundings)
    assert done.returncode == 0, done.stderr
    (entry,) = sink.entries()
    keys = dkim_keys.read_folder(shop.folder / "dkim").find({"domain": "bay.example.com", "selector": "m1"})
    assert is_valid(entry["data"].encode(), keys)


def test_a_new_key_is_private_and_its_record_belongs_to_it(shop: Shop) -> None:
    (shop.folder / "rules/senders.yaml").write_text(project.FILES["rules/senders.yaml"], encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=shop.folder, check=True)
    command = ["dkim", "key", "--domain", "grünblatt.example", "--selector", "m1"]
    done = mailshot(shop, *command)
    assert done.returncode == 0, done.stderr
    path = shop.folder / "dkim" / "m1._domainkey.xn--grnblatt-75a.example.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    (line,) = (line for line in done.stdout.splitlines() if " IN TXT " in line)
    name, _, _, text = line.split(" ", 3)
    (key,) = dkim_keys.read_folder(path.parent).find({"domain": "grünblatt.example", "selector": "m1"})
    pieces = text.strip('"').split('" "')
    assert (name, "".join(pieces)) == (f"{key.dns_name}.", key.record)
    assert max(map(len, pieces)) <= 255
    ignored = subprocess.run(["git", "check-ignore", "-q", str(path)], cwd=shop.folder, check=False)
    assert ignored.returncode == 0
    before = path.read_bytes()
    again = mailshot(shop, *command)
    assert (again.returncode, path.read_bytes()) == (REFUSED, before)
    assert "Choose another selector" in again.stderr


@pytest.mark.parametrize(("domain", "selector"), [("no domain", "m1"), ("bay.example.com", "../m1"), ("", "m1")])
def test_names_that_are_none_make_no_key(shop: Shop, domain: str, selector: str) -> None:
    done = mailshot(shop, "dkim", "key", "--domain", domain, "--selector", selector)
    assert done.returncode == INVALID
    assert not (shop.folder / "dkim").exists()


@pytest.mark.parametrize(
    "sign",
    [
        "{domain: bay.example.com}",
        "{domain: '', selector: m1}",
        "{domain: a.example, selector: []}",
        "{domain: a.example, selector: M_1}",
        "yes",
    ],
)
def test_signing_that_makes_no_sense_is_refused(shop: Shop, sign: str) -> None:
    text = project.FILES["rules/senders.yaml"] + f"  sign: {sign}\n"
    (shop.folder / "rules/senders.yaml").write_text(text, encoding="utf-8")
    done = mailshot(shop, "rules", "check")
    assert done.returncode == INVALID
    assert "senders.yaml:" in done.stdout + done.stderr
