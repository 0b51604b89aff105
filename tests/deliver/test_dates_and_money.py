"""Dates and amounts in mails, from the rows of a shop to the text that a customer reads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailshot import documents
from mailshot.campaign import plan, preview
from mailshot.errors import InvalidInput
from mailshot.render.compose import OutgoingMail
from mailshot.rulebook import company
from mailshot.store import profiles
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing
from tests.support import processes, project
from tests.support.project import Shop

INPUT = Path(__file__).parents[1] / "inputs" / "mails" / "T03-date.html"
JOINED = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)
COMPANY = """brand: Bay Shop
time_zone: America/New_York
currency: EUR
language: de
"""
FACTS = "customer:\n  birthday: {type: date}\n  card_since: {type: date}\n  spent: {type: number}\n"
BODY = """<!doctype html><html lang="en"><body><p>{words}</p>
<p>{{{{ sender.postal_address }}}} <a href="{{{{ links.unsubscribe }}}}">leave</a></p></body></html>"""
Read = Callable[[str, dict[str, object]], OutgoingMail]


@pytest.fixture
def read(store: Store, tmp_path: Path) -> Read:
    """Give a function that writes a mail with this body to a customer with these facts."""

    def written(body: str, facts: dict[str, object]) -> OutgoingMail:
        files = {
            "rules/company.yaml": COMPANY,
            "rules/facts.yaml": FACTS,
            "templates/hello/body.html": body,
            "templates/hello/subject.txt": "Since {{ customer.joined_at }}",
        }
        shop = Shop.open(store, tmp_path, 0, files)
        columns = {name: value for name, value in facts.items() if name in profiles.COLUMNS}
        own = {name: value for name, value in facts.items() if name not in columns}
        shop.add([{**project.person("ann", "ann@mail.example"), "joined_at": JOINED, **columns, "facts": own}])
        edition = shop.campaign()
        plan.make_plan(store, edition, project.NOW, project.NOW)
        return preview.write_preview(
            store, edition, "ann", KeyRing.parse(project.KEYS), "https://x.example", project.NOW
        )

    return written


def line(letter: OutgoingMail) -> str:
    """Return the first line of the text, with ordinary spaces."""
    return letter.rendered.text.splitlines()[0].replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("facts", "written"),
    [
        ({}, "31. März 2026 Ann ann"),
        ({"time_zone": "Europe/Oslo"}, "1. April 2026 Ann ann"),
        ({"language": "nb", "time_zone": "Europe/Oslo"}, "1. april 2026 Ann ann"),
        ({"language": "en-GB", "time_zone": "Mars/Olympus"}, "31 March 2026 Ann ann"),
        ({"language": "klingon"}, "31. März 2026 Ann ann"),
        ({"joined_at": None}, "Ann ann"),
    ],
)
def test_a_moment_is_a_day_of_the_customer(read: Read, facts: dict[str, object], written: str) -> None:
    letter = read(INPUT.read_text(encoding="utf-8"), facts)
    assert line(letter) == written
    assert letter.rendered.subject == f"Since {written.removesuffix('Ann ann')}".strip()


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("{{ customer.birthday|date('d MMMM') }}", "2 Februar"),
        ("{{ customer.birthday }}", "2. Februar 1990"),
        ("{{ customer.birthday|date('full') }} {{ customer.card_since }}", "Freitag, 2. Februar 1990"),
        ("{{ customer.joined_at|date('EEEE, HH:mm') }}", "Dienstag, 18:30"),
        ("{{ 'since ' ~ customer.joined_at }}", "since 31. März 2026"),
        ("{% set since %}{{ customer.joined_at }}{% endset %}{{ since }}", "31. März 2026"),
        ("{% if customer.joined_at.year < 2027 %}old{% endif %}", "old"),
        ("{{ customer.spent|money }}", "1.234,50 €"),
        ("{{ customer.spent|money('NOK') }}", "1.234,50 NOK"),
        ("{{ (customer.spent * 2)|money }}", "2.469,00 €"),
        ("{{ [customer.spent, 1]|map('money')|join(' + ') }}", "1.234,50 € + 1,00 €"),
        ("{{ customer.spent }}", "1.234,5"),
        ("{{ 80.0 }} {{ 12500 }} {{ 2026 }}", "80 12.500 2026"),
        ("{{ customer.spent|number }} {{ 2026|number }}", "1.234,5 2.026"),
        ("{{ customer.spent|number(2) }} {{ customer.spent|number(0) }}", "1.234,50 1.235"),
        ("{{ 'you have ' ~ customer.spent }}", "you have 1.234,5"),
        ("{{ customer.spent > 1 }} {{ customer.spent < 1 }}", "ja nein"),
        (
            '<a href="https://shop.example/{{ customer.spent }}/{{ 12500 }}">x</a>',
            "x <https://shop.example/1234.5/12500>",
        ),
    ],
)
def test_dates_and_money_are_formatted_for_the_customer(read: Read, words: str, written: str) -> None:
    assert line(read(BODY.format(words=words), {"birthday": "1990-02-02", "spent": 1234.5})) == written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{{ customer.birthday|date('lnog') }}", r"body\.html:1:\d+: 'lnog' .*\n.*\n.*\n +Did you mean 'long'"),
        ("{{ customer.birthday|date(form='DD.MM.YYYY') }}", r"body\.html:1:\d+: .*\n.*\n.*\n +Write d for the day"),
        ("{{ customer.birthday|dat('long') }}", "There is no filter 'dat'"),
        ("{{ customer.spent|money('EURO') }}", r"body\.html:1:\d+: 'EURO' is not a currency"),
    ],
)
def test_an_unknown_format_is_rejected_at_its_place(read: Read, words: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(BODY.format(words=words), {})


def test_another_process_renders_the_same() -> None:
    script = """
import hashlib, sys
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo
from mailshot.facts.locales import LocaleFormat
moment = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)
written = [
    text
    for language in ("en", "nb", "de", "fr", "ar", "ja", "hi", "klingon", "")
    for manner in [LocaleFormat(language, ZoneInfo("Asia/Tokyo"), language, "EUR")]
    for text in (manner.date(moment), manner.date(moment, "EEEE HH:mm"), manner.money(Decimal("1234.5")))
]
print(hashlib.sha256("|".join(written).encode()).hexdigest())
"""
    digests = set()
    for surroundings in ({"TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8", "PYTHONHASHSEED": "1"}, {"LC_ALL": "C", "TZ": ""}):
        environment = {"PYTHONPATH": str(processes.ROOT), **surroundings}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


def test_numbers_in_attributes_have_machine_format(read: Read) -> None:
    letter = read(
        BODY.format(words='<img alt="{{ 1.5 }}" src="https://x.example/{{ 1.5 }}" width="{{ 2.5 * 1 }}">'), {}
    )
    assert all(part in letter.rendered.html for part in ('alt="1,5"', "https://x.example/1.5", 'width="2.5"'))


@pytest.mark.parametrize("code", ["XXY", "EURO", "eur"])
def test_an_unknown_currency_is_rejected(code: str) -> None:
    with pytest.raises(InvalidInput, match="is not a currency's code"):
        company.read(documents.parse_document(f"currency: {code}\n", "rules/company.yaml"))
