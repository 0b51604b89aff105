"""One campaign in several languages, from the files to what an SMTP server accepted; on both databases."""

from __future__ import annotations

import email
import email.policy
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from mailshot.bootstrap import App
from mailshot.deliver import pipeline
from mailshot.store import dialect, ledger_queries, tables
from mailshot.store.engine import Store
from tests.support import project
from tests.support.processes import Sink
from tests.support.project import Shop

Apps = Callable[..., App]
JOINED = datetime(2026, 3, 31, 12, tzinfo=UTC)
LAYOUT = """<!doctype html><html lang="{{ language }}" dir="{{ 'rtl' if language == 'ar' else 'ltr' }}"><head>
<title>x</title></head><body>
{% block body %}{% endblock %}
<p><a href="{{ links.unsubscribe }}">x</a> {{ sender.postal_address }}</p></body></html>"""
BODY = '{%% extends "_base/layout.html" %%}{%% block body %%}<p>%s</p>{%% endblock %%}'
FILES = {
    "rules/company.yaml": project.FILES["rules/company.yaml"]
    + "language: en\nlanguages: [en, nb, de]\ncurrency: EUR\n",
    "templates/_base/layout.html": LAYOUT,
    "templates/hello/subject.txt": "With us since {{ customer.joined_at }}",
    "templates/hello/preheader.txt": "Only in English",
    "templates/hello/body.html": BODY % "Since {{ customer.joined_at }}, {{ 1234.5|money }}, {{ language }}",
    "templates/hello/subject.nb.txt": "Kjære {{ customer.first_name }}, siden {{ customer.joined_at }}",
    "templates/hello/preheader.nb.txt": "Gulrøtter på tilbud",
    "templates/hello/body.nb.html": BODY % "Siden {{ customer.joined_at }}, {{ 1234.5|money }}, {{ language }}",
    "templates/hello/body.nb.txt": "Ren tekst på norsk, {{ customer.joined_at }}",
    "templates/hello/subject.pt_BR.txt": "Olá, {{ customer.joined_at }}",
    "templates/hello/subject.ar.txt": "مرحبا {{ customer.first_name }}",
    "templates/hello/body.ar.html": BODY % "أهلا وسهلا {{ customer.joined_at }}",
}
#: By the key of a customer: their language.
LANGUAGES = {
    "nina": "nb", "nils": "no", "nora": "nn-NO", "bia": "pt-BR", "rui": "pt", "amal": "ar-EG", "ann": "en",
    "ben": "en-GB", "dirk": "de", "none": None,
}  # fmt: skip


@pytest.fixture
def shop(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop.open(store, tmp_path_factory.mktemp("shop"), 0, FILES)
    rows = [
        {**project.person(key, f"{key}@mail.example"), "first_name": key.title(), "language": tag, "joined_at": JOINED}
        for key, tag in LANGUAGES.items()
    ]
    shop.add(rows)
    return shop


def send(app: App, run_id: int) -> None:
    assert not pipeline.send_batch(app.send_settings, run_id, 100, threading.Event())


def messages(sink: Sink) -> dict[str, EmailMessage]:
    """Return what was accepted, by the recipient's key."""
    return {
        entry["rcpt"].partition("@")[0]: email.message_from_bytes(entry["data"].encode(), policy=email.policy.default)
        for entry in sink.entries()
    }  # type: ignore[return-value]


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\u00a0", " ")


def test_each_customer_gets_one_mail_in_their_language(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    send(app(), run_id)
    with shop.store.read() as connection:
        assert ledger_queries.count_states(connection, run_id) == {"sent": len(LANGUAGES)}
    assert len(sink.entries()) == len(LANGUAGES)
    assert not sink.twice()
    subjects = {key: message["Subject"] for key, message in messages(sink).items()}
    english = "With us since March 31, 2026"
    assert subjects == {
        "nina": "Kjære Nina, siden 31. mars 2026",
        "nils": "Kjære Nils, siden 31. mars 2026",
        "nora": "Kjære Nora, siden 31. mars 2026",
        "bia": "Olá, 31 de março de 2026",
        "rui": "Olá, 31 de março de 2026",
        "amal": "مرحبا Amal",
        "ann": english,
        "ben": "With us since 31 March 2026",
        "dirk": english,
        "none": english,
    }


def test_each_part_is_in_the_language_of_its_file(shop: Shop, sink: Sink, app: Apps) -> None:
    send(app(), shop.launch())
    mails = messages(sink)
    nina, bia, amal, dirk = (mails[key] for key in ("nina", "bia", "amal", "dirk"))
    assert '<html lang="nb" dir="ltr">' in part(nina, "html")
    assert "Siden 31. mars 2026, 1 234,50 €, nb" in part(nina, "html")
    assert "Gulrøtter på tilbud" in part(nina, "html")
    assert part(nina, "plain").strip() == "Ren tekst på norsk, 31. mars 2026"
    # Only the subject is translated: the body is English, with English dates.
    assert '<html lang="en" dir="ltr">' in part(bia, "html")
    assert "Since March 31, 2026, €1,234.50, en" in part(bia, "html")
    assert "Only in English" in part(bia, "html")
    # Its preheader and plain text would be in another language.
    assert '<html lang="ar" dir="rtl">' in part(amal, "html")
    assert "أهلا وسهلا" in part(amal, "html")
    assert "أهلا وسهلا" in part(amal, "plain")
    assert "Only in English" not in part(amal, "html")
    assert "Since March 31, 2026, €1,234.50, en" in part(dirk, "html")


def test_the_language_is_chosen_when_the_mail_is_rendered(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    customer = dialect.table(tables.Customer)
    with shop.store.write() as connection:
        connection.execute(customer.update().where(customer.c.key == "ann").values(language="nb"))
    send(app(), run_id)
    assert messages(sink)["ann"]["Subject"] == "Kjære Ann, siden 31. mars 2026"


def test_a_run_keeps_the_translations_of_its_launch(shop: Shop, sink: Sink, app: Apps) -> None:
    run_id = shop.launch()
    for path in (shop.folder / "templates/hello").glob("*.nb.*"):
        path.unlink()
    send(app(), run_id)
    assert messages(sink)["nina"]["Subject"] == "Kjære Nina, siden 31. mars 2026"
