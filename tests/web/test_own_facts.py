"""Checks that customers can correct and remove facts on the page of their own data."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from mailshot import documents
from mailshot.facts import catalogue
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import audiences, dialect
from mailshot.store.fact_corrections import FactCorrection
from mailshot.store.tables import Customer, Delivery
from tests.support import customer_site
from tests.support.customer_site import ADA, PREFERENCES
from tests.support.pages import OwnPage

FACTS = """customer:
  kids: {type: text, title: {en: Children, de: Kinder}, choices: ["0", "1", "2+"], editable: yes}
  height: {type: number, unit: cm, editable: yes, help: As measured}
  member: {type: boolean, editable: yes}
  birthday: {type: date, editable: yes}
  motto: {type: text, title: Your <motto>, editable: yes}
  income: {type: text}
"""
STORED = {"kids": "1", "height": 170.5, "income": "secret", "motto": "go", "other": "kept"}
AUDIENCE = "audience: tall\nwho: {kids: '2+', height: {at_least: 171}, member: yes, motto: {known: no}}\n"
RULES = {"rules/facts.yaml": FACTS, "rules/audiences/tall.yaml": AUDIENCE}


@pytest.fixture
def client(look: customer_site.Look) -> Iterator[TestClient]:
    facts = catalogue.read(documents.parse_document(FACTS, "rules/facts.yaml"))
    customer = dialect.table(Customer)
    with look.store.write() as connection:
        connection.execute(customer.update().where(customer.c.id == ADA).values(facts=STORED))
    site = customer_site.site(look.store, facts=facts)
    with TestClient(site, "http://127.0.0.1", follow_redirects=False) as opened:
        yield opened


def facts_of(look: customer_site.Look) -> dict[str, object]:
    customer = dialect.table(Customer)
    with look.store.read() as connection:
        facts: dict[str, object] = connection.scalar(select(customer.c.facts).where(customer.c.id == ADA))
    return facts


def corrections(look: customer_site.Look) -> dict[str, object]:
    table = dialect.table(FactCorrection)
    with look.store.read() as connection:
        return {row["fact"]: row["value"] for row in connection.execute(table.select()).mappings()}


def test_facts_are_shown_as_fields_with_the_customers_labels(client: TestClient, look: customer_site.Look) -> None:
    page = OwnPage(client, look)
    text = html.unescape(page.text)
    for label in ("Children", "Height (cm)", "Member", "Your <motto>"):
        assert f">{label}</label>" in text
    assert "As measured" not in text
    assert "<dt>Income</dt><dd>secret</dd>" in text
    assert {name: values for name, values in page.form.items() if name.startswith("fact.")} == {
        "fact.kids": ["1"],
        "fact.height": ["170.5"],
        "fact.member": [""],
        "fact.birthday": [""],
        "fact.motto": ["go"],
    }
    # Anyone may have the mail: its page shows and takes none of them.
    assert "fact." not in client.get(PREFERENCES).text
    assert client.post(PREFERENCES, data={"fact.motto": "mine", "shown": "{}"}).status_code == 303
    assert facts_of(look) == STORED


def test_a_correction_is_stored_and_counts_in_rules_at_once(client: TestClient, look: customer_site.Look) -> None:
    condition = Rulebook.thaw(RULES).book.audience("tall").condition

    def members() -> list[int]:
        compiled = audiences.compiler(datetime.now(UTC), ZoneInfo("UTC"))
        with look.store.read() as connection:
            return list(audiences.members(connection, compiled, condition))

    page = OwnPage(client, look)
    assert members() == []
    corrected = {"fact.kids": "2+", "fact.height": "171,5", "fact.member": "yes", "fact.motto": ""}
    saved = page.post("save", corrected, whole=True)
    assert "Saved. These are your current choices." in saved.text
    assert facts_of(look) == {"kids": "2+", "height": 171.5, "member": True, "income": "secret", "other": "kept"}
    assert corrections(look) == {"kids": "2+", "height": 171.5, "member": True, "motto": None}
    assert members() == [ADA]
    (event,) = look.feedback("preference_changed")
    changes = {"fact: kids": "2+", "fact: height": "171.5", "fact: member": "True", "fact: motto": ""}
    assert event["detail"]["changes"] == changes
    # The same form again changes nothing, and the page left open earlier undoes nothing.
    page.post("save", whole=True)
    assert len(look.feedback("preference_changed")) == 1
    exported = page.post("export").json()
    assert sorted(row["fact"] for row in exported["fact_correction"]) == ["height", "kids", "member", "motto"]


def test_a_correction_reaches_mail_that_is_being_prepared(client: TestClient, look: customer_site.Look) -> None:
    delivery = dialect.table(Delivery)
    with look.store.write() as connection:
        connection.execute(delivery.update().values(state="pending", dotted_at=None))
    OwnPage(client, look).post("save", {"fact.kids": "0"}, whole=True)
    with look.store.read() as connection:
        revisions = dict(connection.execute(select(delivery.c.customer_id, delivery.c.revision)).all())
    assert (revisions[ADA] > 0, revisions[customer_site.BEN]) == (True, 0)


@pytest.mark.parametrize(("tag", "number"), [("en", "12.5"), ("de", "12,5"), ("fr", "12,5"), ("es", "12,5")])
def test_what_a_fact_cannot_be_is_explained_at_its_field(
    client: TestClient, look: customer_site.Look, tag: str, number: str
) -> None:
    page = OwnPage(client, look)
    wrong = {"fact.height": "tall", "fact.birthday": "2999-01-01", "fact.kids": "many", "fact.motto": "x" * 201}
    answer = page.post(f"save?lang={tag}", wrong, whole=True)
    assert answer.status_code == 422
    for control in wrong:
        problem = re.search(rf'id="{re.escape(control)}\.problem">(.*?)<', answer.text)
        assert problem
        assert f'<a href="#{control}">{problem[1]}</a>' in answer.text
        assert f'aria-invalid="true" aria-describedby="{control}.problem"' in answer.text
    assert number in answer.text
    assert 'value="tall"' in answer.text
    assert facts_of(look) == STORED
    assert corrections(look) == {}


def test_erasing_forgets_corrections(client: TestClient, look: customer_site.Look) -> None:
    page = OwnPage(client, look)
    page.post("save", {"fact.motto": "canary"}, whole=True)
    page.post("erase", {"confirm": "erase"})
    assert corrections(look) == {}
    assert "canary" not in str(look.everything())
