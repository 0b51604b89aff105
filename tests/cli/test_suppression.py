"""Looking up and lifting suppressed addresses, as an operator does."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import timedelta
from pathlib import Path

import pytest

from mailshot.campaign import plan
from mailshot.store import consent, dialect, suppression, tables
from mailshot.store.engine import Store
from tests.cli.test_errors import INVALID, MISSING, REFUSED, tried
from tests.support import project
from tests.support.project import NOW, Shop


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    """Give a shop with an address suppressed for each kind of reason."""
    made = Shop.open(store, tmp_path / "shop")
    with store.write() as connection:
        for reason in ("bounced", "complained", suppression.ERASED):
            hashed = project.person("x", f"{reason}@mail.example")["address_hash"]
            suppression.add(connection, hashed, reason, "run 3", NOW)
    return made


def test_a_bounce_is_shown_and_lifted(shop: Shop) -> None:
    assert tried(shop, "suppression", "show", "free@mail.example") == (0, "free@mail.example is not suppressed.\n")
    code, printed = tried(shop, "suppression", "show", "Bounced@Mail.Example")
    assert code == 0
    assert "suppressed: bounced (run 3, 2026-06-01 05:00 EDT)" in printed
    assert tried(shop, "suppression", "lift", "BOUNCED@mail.example")[0] == 0
    assert "is not suppressed" in tried(shop, "suppression", "show", "bounced@mail.example")[1]
    assert tried(shop, "suppression", "lift", "bounced@mail.example")[0] == MISSING


def test_a_complaint_is_lifted_only_by_who_says_so(shop: Shop) -> None:
    code, printed = tried(shop, "suppression", "lift", "complained@mail.example")
    assert code == REFUSED
    assert "--even-though 'complained'" in printed
    assert tried(shop, "suppression", "lift", "complained@mail.example", "--even-though", "bounced")[0] == REFUSED
    assert tried(shop, "suppression", "lift", "complained@mail.example", "--even-though", "complained")[0] == 0


def test_an_erased_address_stays_suppressed(shop: Shop) -> None:
    code, printed = tried(shop, "suppression", "lift", "erased@mail.example", "--even-though", "erased")
    assert code == REFUSED
    assert "stays suppressed" in printed
    assert tried(shop, "suppression", "lift", "erased@mail.example", "--signed-up-again")[0] == 0
    assert "is not suppressed" in tried(shop, "suppression", "show", "erased@mail.example")[1]


def test_what_is_no_address_is_told(shop: Shop) -> None:
    code, printed = tried(shop, "suppression", "show", "not an address")
    assert code == INVALID
    assert "is not an e-mail address" in printed


def test_the_topics_that_were_withdrawn_at_an_address_are_shown(shop: Shop) -> None:
    _, second = shop.add(project.people(2, local="shared"))
    with shop.store.write() as connection:
        consent.record_consent(connection, second, "offers", False, NOW + timedelta(hours=1), "unsubscribe link")
    code, printed = tried(shop, "suppression", "show", "shared@mail.example")
    assert (code, printed) == (
        0,
        "shared@mail.example is not suppressed.\nWithdrawn at this address: offers (2026-06-01 06:00 EDT).\n",
    )
    code, printed = tried(shop, "suppression", "show", "shared@mail.example", "--json")
    assert list(json.loads(printed)["withdrawn"]) == ["offers"]


def test_a_withdrawal_by_the_address_alone_is_shown(shop: Shop) -> None:
    hashed = project.person("x", "alone@mail.example")["address_hash"]
    row = {"address_hash": hashed, "topic": "offers", "at": NOW, "source": "import"}
    with shop.store.write() as connection:
        connection.execute(dialect.table(tables.AddressWithdrawal).insert(), row)
    assert (
        "Withdrawn at this address: offers (2026-06-01 05:00 EDT)."
        in tried(shop, "suppression", "show", "alone@mail.example")[1]
    )


def test_an_operator_suppresses_an_address_and_exports_the_list(shop: Shop, tmp_path: Path) -> None:
    code, printed = tried(shop, "suppression", "add", "Rude@mail.example", "--why", "asked by phone")
    assert (code, "is now suppressed" in printed) == (0, True)
    assert "was already" in tried(shop, "suppression", "add", "rude@mail.example", "--why", "again")[1]
    assert "suppressed: asked by phone (operator," in tried(shop, "suppression", "show", "rude@mail.example")[1]
    assert tried(shop, "suppression", "add", "rude@mail.example", "--why", " ")[0] == REFUSED
    assert tried(shop, "suppression", "lift", "rude@mail.example", "--even-though", "asked by phone")[0] == 0
    file = tmp_path / "list.csv"
    assert tried(shop, "suppression", "export", "--to", str(file))[0] == 0
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert sorted(row["reason"] for row in rows) == ["bounced", "complained", "erased"]
    assert all(len(row["address_hash"]) == 32 for row in rows)


def test_an_operator_exports_and_erases_a_customer(shop: Shop, tmp_path: Path) -> None:
    shop.add([project.person("anna", "anna@mail.example")])
    file = tmp_path / "anna.json"
    page = tmp_path / "data.html"
    assert tried(shop, "customer", "export", "anna", "--html", "--to", str(page))[0] == 0
    assert "<h2>About you</h2>" in page.read_text(encoding="utf-8")
    assert tried(shop, "customer", "export", "anna", "--to", str(file))[0] == 0
    assert json.loads(file.read_text())["customer"][0]["email"] == "anna@mail.example"
    assert tried(shop, "customer", "erase", "anna")[0] == REFUSED
    assert tried(shop, "customer", "export", "anna")[0] == 0
    assert tried(shop, "customer", "erase", "anna@mail.example", "--yes")[0] == 0
    assert tried(shop, "customer", "export", "anna")[0] == MISSING
    assert "suppressed: erased (operator," in tried(shop, "suppression", "show", "anna@mail.example")[1]


def sha256(email: str) -> str:
    return hashlib.sha256(email.encode()).hexdigest()


def left_out(shop: Shop) -> dict[str, int]:
    return plan.make_plan(shop.store, shop.campaign("hello", "repeat: yes\n"), NOW, NOW).left_out


def test_a_list_of_addresses_and_hashes_is_imported(shop: Shop, tmp_path: Path) -> None:
    names = ("plain", "digest", "own", "free", "Großmann")
    shop.add([project.person(name, f"{name}@Mail.example") for name in names])
    file = tmp_path / "list.txt"
    own = project.person("x", "own@mail.example")["address_hash"]
    lines = [" Plain@mail.example ", sha256("digest@mail.example").upper(), own, "", sha256("großmann@mail.example")]
    file.write_text("\n".join([*lines, sha256("later@mail.example")]), encoding="utf-8")
    code, printed = tried(shop, "suppression", "import", str(file), "--why", "left the old shop")
    assert (code, "Read 5 lines; newly suppressed addresses: 4." in printed) == (0, True)
    assert left_out(shop) == {"suppressed": 3, "unsupported address": 1}
    assert "newly suppressed addresses: 0." in tried(shop, "suppression", "import", str(file))[1]
    assert "left the old shop (list list.txt," in tried(shop, "suppression", "show", "Later@mail.example")[1]
    (entry,) = json.loads(tried(shop, "audit", "--number", "1", "--json")[1])
    assert (entry["action"], entry["subject"]) == ("imported", "list.txt, 5 lines")


def test_lifting_an_address_and_erasing_a_customer_forget_the_foreign_hash(shop: Shop, tmp_path: Path) -> None:
    shop.add([project.person("ann", "ann@mail.example")])
    file = tmp_path / "list.txt"
    file.write_text("\n".join(map(sha256, ("ann@mail.example", "gone@mail.example"))))
    assert tried(shop, "suppression", "import", str(file))[0] == 0
    exported = tried(shop, "suppression", "export")[1]
    assert sha256("gone@mail.example") in exported
    assert tried(shop, "suppression", "lift", "gone@mail.example", "--even-though", "imported")[0] == 0
    assert tried(shop, "suppression", "show", "gone@mail.example") == (0, "gone@mail.example is not suppressed.\n")
    assert tried(shop, "customer", "erase", "ann", "--yes")[0] == 0
    assert tried(shop, "suppression", "export")[1].count(sha256("ann@mail.example")) == 0
    assert "suppressed: erased" in tried(shop, "suppression", "show", "ann@mail.example")[1]


def test_a_list_with_a_wrong_line_changes_nothing(shop: Shop, tmp_path: Path) -> None:
    before = tried(shop, "suppression", "export")[1]
    file = tmp_path / "list.txt"
    file.write_text("ann@mail.example\nnot an address\n" + "a" * 40 + "\n")
    code, printed = tried(shop, "suppression", "import", str(file))
    assert code == INVALID
    assert "list.txt:2" in printed
    assert "list.txt:3" in printed
    assert tried(shop, "suppression", "import", str(tmp_path / "none.txt"))[0] == MISSING
    assert tried(shop, "suppression", "export")[1] == before


def test_an_exported_list_is_read_back(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    assert tried(shop, "suppression", "export", "--to", str(file))[0] == 0
    with shop.store.write() as connection:
        connection.execute(suppression.SUPPRESSION.delete())
    assert tried(shop, "suppression", "import", str(file))[0] == 0
    again = tmp_path / "again.csv"
    assert tried(shop, "suppression", "export", "--to", str(again))[0] == 0
    assert again.read_bytes() == file.read_bytes()
