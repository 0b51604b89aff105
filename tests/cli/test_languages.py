"""Checks what the commands print about the languages of a mail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mailshot.store.engine import Store
from tests.cli.test_campaigns import INVALID, flat, mailshot
from tests.support import project
from tests.support.processes import Sink
from tests.support.project import Shop

BODY = project.FILES["templates/hello/body.html"]
FILES = {
    "rules/company.yaml": project.FILES["rules/company.yaml"] + "languages: [nb, en]\n",
    "templates/hello/subject.nb.txt": "Hei {{ customer.first_name }}",
    "templates/hello/body.nb.html": BODY.replace("Dear", "Kjære").replace('"en"', '"nb"'),
}


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop.open(sqlite_store, tmp_path, 0, FILES)
    tags = {"nina": "nb", "ann": "en-US", "sven": "sv", "none": None}
    shop.add([{**project.person(key, f"{key}@mail.example"), "language": tag} for key, tag in tags.items()])
    shop.campaign()
    for name, value in shop.environment().items():
        monkeypatch.setenv(name, value)
    return shop


def test_the_plan_says_who_gets_which_language(shop: Shop) -> None:
    line = "hello: nb 2, en (base) 2, of which 1 has another language (sv 1)"
    assert line in flat(mailshot("plan", "hello")[1])
    found = json.loads(mailshot("plan", "hello", "--json")[1])["languages"]
    assert found == {
        "hello": {
            "base": "en",
            "versions": {"nb": 2, "en": 2},
            "without_version": {"sv": 1},
            "without_language": 1,
        }
    }


def test_a_preview_says_its_language(shop: Shop, tmp_path: Path) -> None:
    mailshot("plan", "hello")
    page = tmp_path / "mail.html"

    def shown(*words: str) -> str:
        return flat(mailshot("preview", "hello", "--to", str(page), *words)[1])

    assert "Subject: Hei Ann nina Language: nb" in shown("--as", "nina")
    assert "Kjære Ann nina" in page.read_text(encoding="utf-8")
    assert "Subject: Hello Ann nina Language: en" in shown("--as", "nina", "--language", "en")
    assert "Language: nb" in shown("--as", "ann", "--language", "no")
    assert "Hei Ann none" in mailshot("preview", "hello", "--as", "none", "--language", "NB", "--text")[1]


@pytest.mark.parametrize(("tag", "remedy"), [("norsk", "Did you mean 'no'?"), ("qq", "Write for example nb, en-GB")])
def test_an_unknown_language_of_a_preview_is_an_error(shop: Shop, tag: str, remedy: str) -> None:
    mailshot("plan", "hello")
    code, told = mailshot("preview", "hello", "--language", tag)
    assert code == INVALID
    assert f"--language: '{tag}' is not a language." in flat(told)
    assert remedy in flat(told)


def test_a_test_mail_can_be_in_each_language(shop: Shop, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILSHOT_SMTP", sink.url)
    mailshot("plan", "hello")
    code, told = mailshot("send-test", "hello", "you@mail.example", "--as", "ann", "--language", "nb")
    assert (code, "Sent '[Test] Hei Ann ann'" in flat(told)) == (0, True)


def test_explain_says_the_language(shop: Shop) -> None:
    mailshot("plan", "hello")
    assert "language: nb, because the mail has no version in 'sv'" in flat(
        mailshot("rules", "explain", "hello", "sven")[1]
    )


def test_a_mixed_mail_is_a_warning_and_a_misspelt_tag_an_error(shop: Shop) -> None:
    folder = shop.folder / "templates/hello"
    assert "Warning" not in mailshot("rules", "check")[1]
    (folder / "subject.nb.txt").unlink()
    code, told = mailshot("rules", "check")
    assert (code, flat(told).count("write subject.nb.txt")) == (0, 1)
    found = json.loads(mailshot("rules", "check", "--json")[1])
    assert [(one["level"], one["file"]) for one in found] == [("warning", "templates/hello/body.nb.html")]
    (folder / "subject.norsk.txt").write_text("Hei", encoding="utf-8")
    (folder / "subject.de.txt").write_text("", encoding="utf-8")
    code, told = mailshot("rules", "check")
    assert code == INVALID
    assert "'norsk' is not a language. " in flat(told)
    assert "Did you mean subject.no.txt?" in flat(told)
    assert flat(told).count("subject.de.txt is empty.") == 1


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("[nb, nbb]", "'nbb' is not a language; did you mean 'nb'?"),
        ("[nb, 'no']", "'nb' and 'no' are the same language"),
        ("nb", "'languages' must be a list"),
    ],
)
def test_the_companys_list_is_checked(shop: Shop, listed: str, message: str) -> None:
    (shop.folder / "rules/company.yaml").write_text(f"languages: {listed}\n", encoding="utf-8")
    code, told = mailshot("rules", "check")
    assert code == INVALID
    assert message in flat(told)
