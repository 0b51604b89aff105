"""Checks that what operators do by hand is written down, and that an erasure leaves no address in it."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from mailshot.store import audit, suppression
from mailshot.store.engine import Store
from tests.cli.test_errors import MISSING, tried
from tests.support import project
from tests.support.project import Shop

ME = getpass.getuser()


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    made = Shop.open(store, tmp_path / "shop")
    made.add([project.person("anna", "anna@mail.example"), project.person("ben", "ben@mail.example")])
    return made


def entries(shop: Shop, *arguments: str) -> list[dict[str, Any]]:
    code, printed = tried(shop, "audit", *arguments, "--json")
    assert code == 0
    listed: list[dict[str, Any]] = json.loads(printed)
    return listed


def test_each_action_leaves_one_entry_and_its_repetition_none(shop: Shop) -> None:
    assert tried(shop, "audit") == (0, "Nothing was done by hand yet.\n")
    assert tried(shop, "audit", "ben") == (0, "Nothing was done by hand for ben yet.\n")
    for _ in range(2):
        tried(shop, "suppression", "add", "Anna@Mail.example", "--why", "anna@mail.example rang up: „nie wieder“")
    tried(shop, "suppression", "lift", "anna@mail.example", "--even-though", "wrong reason")
    why = "anna@mail.example rang up: „nie wieder“"
    assert tried(shop, "suppression", "lift", "anna@mail.example", "--even-though", why)[0] == 0
    assert tried(shop, "customer", "export", "ben", MAILSHOT_OPERATOR="Zoë (support)")[0] == 0
    lines = entries(shop)
    assert [(line["by"], line["action"], line["customer"]) for line in lines] == [
        ("Zoë (support)", "exported", "ben"),
        (ME, "lifted", None),
        (ME, "suppressed", None),
    ]
    assert "anna@" not in str(lines).lower()
    assert "nie wieder" in lines[2]["why"]
    assert lines[2]["subject"].lower().endswith("@mail.example")
    assert [line["action"] for line in entries(shop, "anna")] == ["lifted", "suppressed"]
    assert [line["action"] for line in entries(shop, "ben@mail.example")] == ["exported"]
    assert [line["action"] for line in entries(shop, "--number", "1")] == ["exported"]
    code, printed = tried(shop, "audit")
    assert code == 0
    assert all(word in printed for word in ("Zoë", "suppressed", "ben", "rang"))
    assert tried(shop, "audit", "nobody")[0] == MISSING


def test_an_erasure_leaves_who_and_when_but_no_address(shop: Shop) -> None:
    tried(shop, "suppression", "add", "anna@mail.example", "--why", "moved to Elm Street")
    tried(shop, "suppression", "add", "ben@mail.example", "--why", "asked by phone")
    tried(shop, "customer", "export", "anna")
    before = entries(shop)
    assert tried(shop, "customer", "erase", "anna", "--yes")[0] == 0
    lines = entries(shop)
    assert [line["action"] for line in lines] == ["erased", "exported", "suppressed", "suppressed"]
    assert [line["at"] for line in lines[1:]] == [line["at"] for line in before]
    assert [(line["subject"], line["why"]) for line in lines if line["action"] != "suppressed"] == [("", "")] * 2
    assert (lines[3]["subject"], lines[3]["why"]) == ("", "")
    assert lines[2]["why"] == "asked by phone"
    anna = project.person("anna", "anna@mail.example")["address_hash"]
    with shop.store.read() as connection:
        assert anna not in connection.scalars(select(audit.AUDIT.c.address_hash)).all()
        assert suppression.find_suppression(connection, anna)["reason"] == suppression.ERASED
    assert tried(shop, "suppression", "lift", "anna@mail.example", "--signed-up-again")[0] == 0
    assert [line["action"] for line in entries(shop)[:2]] == ["lifted", "readmitted"]


@pytest.mark.parametrize("change", ["UPDATE audit_entry SET why = 'x'", "DELETE FROM audit_entry"])
def test_no_entry_can_be_changed(shop: Shop, change: str) -> None:
    tried(shop, "customer", "export", "anna")
    with pytest.raises(DatabaseError, match="append-only"), shop.store.write() as connection:
        connection.execute(text(change))
