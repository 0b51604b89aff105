"""Checks the customer's data as a document to read: complete, in their language, and safe to open."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlmodel import SQLModel
from starlette.testclient import TestClient

from mailshot.store import dialect, pauses
from mailshot.store.tables import Customer, Product, Purchase, Trait
from mailshot.web.export_titles import COLUMN_TITLES, TABLE_TITLES
from mailshot.web.readable_export import TECHNICAL_TABLES, shown_columns
from tests.support import customer_site
from tests.support.customer_site import ADA, BEN
from tests.support.pages import OwnPage

TITLES = {
    "en": ["About you", "What you agreed to", "What you bought", "Mails to you", "Pauses that you asked for"],
    "de": ["Über Sie", "Worin Sie eingewilligt haben", "Was Sie gekauft haben", "E-Mails an Sie"],
    "fr": ["À votre sujet", "Ce que vous avez accepté", "Ce que vous avez acheté"],
    "es": ["Sobre usted", "Lo que ha aceptado", "Lo que ha comprado"],
}
#: Tables of the document whose rows are not found by `customer_id`.
BY_OTHER_KEYS = ("customer", "product", "link", "suppression", "address_withdrawal", "sign_up")
XSS = '"><script>alert(1)</script>'


def buy(look: customer_site.Look) -> None:
    line = {"order_key": "R1", "nth": 0, "quantity": 2, "amount": Decimal("12.50")}
    at = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)
    with look.store.write() as connection:
        connection.execute(dialect.table(Product).insert().values(id=5, key="F", name=XSS, facts={}))
        for customer in (ADA, BEN):
            row = {**line, "customer_id": customer, "product_id": 5, "at": at}
            connection.execute(dialect.table(Purchase).insert().values(**row))
        connection.execute(dialect.table(Customer).update().values(time_zone="Europe/Oslo", facts={"age": "45-54"}))
        pauses.record_pause(connection, ADA, datetime(2026, 5, 1, tzinfo=UTC), "page", at)


@pytest.mark.parametrize("tag", TITLES)
def test_the_document_tells_everything_in_the_customers_language(
    client: TestClient, look: customer_site.Look, tag: str
) -> None:
    buy(look)
    answer = OwnPage(client, look).post(f"readable?lang={tag}")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="my-data.html"'
    assert f'<html lang="{tag}">' in answer.text
    headings = [html.unescape(title) for title in re.findall("<h2>(.*?)</h2>", answer.text)]
    assert set(TITLES[tag]) <= set(headings)
    text = html.unescape(answer.text)
    day = {"en": "April 1, 2026", "de": "1. April 2026", "fr": "1 avril 2026", "es": "1 de abril de 2026"}
    for part in ("ada@example.com", "45-54", "R1", "0 meat lines of 212 food lines", f"{day[tag]} 00:30"):
        assert part in text
    assert "ben@example.com" not in text
    # Names of products stand where the row has a number, and nothing in them runs.
    assert "<script" not in answer.text
    assert html.escape("><script>alert(1)</script>") in answer.text


@pytest.mark.parametrize("table", dict(SQLModel.metadata.tables))
def test_everything_in_the_document_has_a_title(table: str) -> None:
    columns = SQLModel.metadata.tables[table].c
    is_exported = "customer_id" in columns or table in BY_OTHER_KEYS
    if is_exported and table not in TECHNICAL_TABLES:
        assert table in TABLE_TITLES
        assert set(shown_columns(table, columns.keys())) <= COLUMN_TITLES.keys()


def test_the_document_needs_a_session_and_counts_as_an_export(client: TestClient, look: customer_site.Look) -> None:
    page = OwnPage(client, look)
    assert client.post(f"{page.path}/readable").status_code == 410
    assert [page.post("readable").status_code for _ in range(6)] == [200] * 5 + [429]


def test_long_histories_are_written_completely(client: TestClient, look: customer_site.Look) -> None:
    trait = dialect.table(Trait)
    row = {"customer_id": ADA, "name": "x", "confidence": 0.5, "evidence": {}, "as_of": customer_site.BEGAN}
    rows = [{**row, "value": f"v{number}"} for number in range(1500)]
    with look.store.write() as connection:
        connection.execute(trait.insert(), rows)
    text = OwnPage(client, look).post("readable").text
    assert all(f">v{number}<" in text for number in range(1500))
