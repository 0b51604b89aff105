from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from mailshot.profile import address
from mailshot.store import suppression
from mailshot.store.engine import Store
from tests import shop
from tests.shop import ADA, CLICK, PIXEL, PREFERENCES, UNSUBSCRIBE

ERASE = f"{PREFERENCES}/erase"


def test_the_export_is_a_file_with_all_data(client: TestClient) -> None:
    answer = client.get(f"{PREFERENCES}/export")
    assert answer.headers["content-disposition"].startswith("attachment")
    held = answer.json()
    assert held["customer"][0]["email"] == "ada@example.com"
    assert held["trait"][0]["evidence"] == shop.EVIDENCE
    assert len(held["consent_log"]) == 2


def test_erasing_takes_two_steps(client: TestClient, look: shop.Look) -> None:
    before = look.everything()
    assert "Delete everything about me" in client.get(ERASE).text
    assert client.post(ERASE, data={}).status_code == 422
    assert look.everything() == before
    answer = client.post(ERASE, data={"confirm": "erase"})
    assert answer.status_code == 200
    assert "Your data is deleted" in answer.text
    with look.store.read() as connection:
        hashed = address.fingerprint(shop.ADDRESS_KEY, "Ada@Example.com ")
        assert suppression.get(connection, hashed)["reason"] == suppression.ERASED
    assert "ada@example.com" not in str(look.everything())


def test_links_of_an_erased_customer_do_no_harm(client: TestClient, look: shop.Look) -> None:
    client.post(ERASE, data={"confirm": "erase"})
    for page in (PREFERENCES, ERASE, f"{PREFERENCES}/export"):
        assert client.get(page).status_code == 410
    assert client.post(ERASE, data={"confirm": "erase"}).status_code == 410
    assert client.post(PREFERENCES, data={"topic.offers": "on"}).status_code == 410
    assert client.get(PIXEL).status_code == 200
    assert client.get(CLICK).status_code == 302
    assert client.post(UNSUBSCRIBE, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert look.feedback() == []
    assert look.given(ADA, "offers") is False


def test_no_byte_is_left_in_the_files(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    shop.seed(store)
    with TestClient(shop.site(store)) as client:
        client.post(PREFERENCES, data={"say.diet": "no_pork"})
        assert client.post(ERASE, data={"confirm": "erase"}).status_code == 200
        for word in (b"ada@example.com", b"no_pork", b"Vegetarian household"):
            assert [file.name for file in tmp_path.iterdir() if word in file.read_bytes()] == []
    store.close()
