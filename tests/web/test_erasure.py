"""Checks the export and the erasure of a customer's data on the pages."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from mailshot.profile import address
from mailshot.store import suppression
from mailshot.store.engine import Store
from tests.support import customer_site
from tests.support.customer_site import ADA, CLICK, PIXEL, PREFERENCES, UNSUBSCRIBE
from tests.support.pages import OwnPage


def test_the_export_is_a_file_with_all_data(client: TestClient, look: customer_site.Look) -> None:
    answer = OwnPage(client, look).post("export")
    assert answer.headers["content-disposition"].startswith("attachment")
    held = answer.json()
    assert held["customer"][0]["email"] == "ada@example.com"
    assert held["trait"][0]["evidence"] == customer_site.EVIDENCE
    assert len(held["consent_log"]) == 2
    assert [row["customer_id"] for row in held["confirmation"]] == [ADA]


def test_erasing_takes_two_steps(client: TestClient, look: customer_site.Look) -> None:
    page = OwnPage(client, look)
    before = look.everything()
    assert "Delete everything about me" in page.post("erase").text
    assert page.post("erase", {"asked": "yes"}).status_code == 422
    assert look.everything() == before
    answer = page.post("erase", {"asked": "yes", "confirm": "erase"})
    assert answer.status_code == 200
    assert "Your data is deleted" in answer.text
    with look.store.read() as connection:
        hashed = address.hash_address(customer_site.ADDRESS_KEY, "Ada@Example.com ")
        assert suppression.find_suppression(connection, hashed)["reason"] == suppression.ERASED
    assert "ada@example.com" not in str(look.everything())


def test_links_of_an_erased_customer_do_no_harm(client: TestClient, look: customer_site.Look) -> None:
    page = OwnPage(client, look)
    page.post("erase", {"confirm": "erase"})
    for path in (PREFERENCES, f"{PREFERENCES}/data", page.path):
        assert client.get(path).status_code == 410
    assert page.post("erase", {"confirm": "erase"}).status_code == 410
    assert page.post("export").status_code == 410
    assert client.post(PREFERENCES, data={"topic.offers": "on"}).status_code == 410
    assert client.post(f"{PREFERENCES}/data").status_code == 410
    assert client.get(PIXEL).status_code == 200
    assert client.get(CLICK).status_code == 302
    left = client.post(UNSUBSCRIBE, data={"List-Unsubscribe": "One-Click"})
    assert (left.status_code, "topics" in left.text.partition("<main")[2]) == (200, False)
    assert look.feedback() == []
    assert look.given(ADA, "offers") is False


def test_no_erased_byte_is_left_in_the_files(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    customer_site.seed(store)
    with TestClient(customer_site.site(store), "http://127.0.0.1") as client:
        client.post(PREFERENCES, data={"say.diet": "no_pork"})
        page = OwnPage(client, customer_site.Look(store))
        assert page.post("erase", {"confirm": "erase"}).status_code == 200
        for word in (b"ada@example.com", b"no_pork", b"Vegetarian household"):
            assert [file.name for file in tmp_path.iterdir() if word in file.read_bytes()] == []
    store.close()
