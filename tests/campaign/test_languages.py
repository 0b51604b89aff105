"""Checks what plan, preview and explain say about the languages of a mail, and what is frozen; on both databases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from mailshot.campaign import explain, languages, launch, plan, preview
from mailshot.campaign import snapshot as editions
from mailshot.campaign.snapshot import Snapshot
from mailshot.errors import InvalidInput, Refused
from mailshot.render.mailing import Mailing
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import dialect, snapshots, tables
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing
from tests.support import project
from tests.support.project import NOW, Shop

COMPANY = project.FILES["rules/company.yaml"] + "language: en\n"
FILES = {
    "rules/company.yaml": COMPANY + "languages: [nb, en]\n",
    "templates/hello/subject.nb.txt": "Hei {{ customer.first_name }}",
    "templates/hello/body.nb.html": project.FILES["templates/hello/body.html"].replace("Dear", "Kjære"),
    "templates/hello/subject.en-GB.txt": "Good day {{ customer.first_name }}",
}
#: How many customers have each language.
CUSTOMERS = {"nb": 5, "no": 2, "en": 4, "en-US": 1, "en-AU": 3, "sv": 3, "de-CH": 1, None: 2, " ": 1}
KEYS = KeyRing.parse(project.KEYS)


def people(counts: Mapping[str | None, int]) -> list[dict[str, object]]:
    """Return customers named by their language and a number, as in `nb1`."""
    return [
        {**project.person(f"{tag or 'none'}{n}".strip() or "blank", f"p{place}n{n}@mail.example"), "language": tag}
        for place, (tag, number) in enumerate(counts.items())
        for n in range(1, number + 1)
    ]


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    shop = Shop.open(store, tmp_path, 0, FILES)
    shop.add(people(CUSTOMERS))
    return shop


def write(shop: Shop, path: str, text: str) -> None:
    (shop.folder / path).write_text(text, encoding="utf-8")


def edition(shop: Shop) -> Snapshot:
    return editions.take_snapshot(Rulebook.load(shop.folder), shop.folder, "hello")


def see(shop: Shop, read: Snapshot, customer: str, language: str | None = None) -> tuple[str, str]:
    """Return the language and the subject of a customer's mail in a preview."""
    letter = preview.write_preview(shop.store, read, customer, KEYS, "https://x.example", NOW, language=language)
    return letter.language, letter.rendered.subject


def test_the_plan_counts_each_version_and_who_has_another_language(shop: Shop) -> None:
    made = plan.make_plan(shop.store, shop.campaign(), NOW, NOW)
    assert made.contents == {"hello": 22}
    assert made.as_dict()["languages"] == {
        "hello": {
            "base": "en",
            "versions": {"en-GB": 0, "nb": 11, "en": 11},
            "without_version": {"sv": 3, "de-CH": 1},
            "without_language": 3,
        }
    }
    assert made.languages["hello"].words() == (
        "nb 11, en-GB 0, en (base) 11, of which 4 have another language (sv 3, de-CH 1)"
    )
    assert sum(made.languages["hello"].versions.values()) == made.mails


def test_only_customers_who_get_the_mail_are_counted(shop: Shop) -> None:
    shop.add(people({"fi": 4}), consent=False)
    made = plan.make_plan(shop.store, shop.campaign(), NOW, NOW)
    assert "fi" not in made.languages["hello"].without_version


def test_without_translations_nothing_is_counted(shop: Shop) -> None:
    for path in (shop.folder / "templates/hello").glob("*.*.*"):
        path.unlink()
    read = shop.campaign()
    made = plan.make_plan(shop.store, read, NOW, NOW)
    assert made.as_dict()["languages"] == {}
    assert see(shop, read, "nb1") == ("", "Hello Ann nb1")
    assert languages.describe_choice(read, "hello", "nb") == ""


def test_each_version_is_counted_as_it_is_rendered(shop: Shop) -> None:
    read = shop.campaign()
    made = plan.make_plan(shop.store, read, NOW, NOW)
    rendered = [see(shop, read, row["key"])[0] for row in people(CUSTOMERS)]  # type: ignore[arg-type]
    assert {tag: rendered.count(tag) for tag in made.languages["hello"].versions} == made.languages["hello"].versions


def test_the_preview_shows_the_version_of_the_customer_or_another(shop: Shop) -> None:
    read = shop.campaign()
    plan.make_plan(shop.store, read, NOW, NOW)
    assert see(shop, read, "no1") == ("nb", "Hei Ann no1")
    assert see(shop, read, "en-US1") == ("en", "Hello Ann en-US1")
    assert see(shop, read, "sv1") == ("nb", "Hei Ann sv1")
    assert see(shop, read, "none1") == ("en", "Hello Ann none1")
    assert see(shop, read, "no1", "en-GB") == ("en-GB", "Good day Ann no1")
    assert see(shop, read, "no1", "en") == ("en", "Hello Ann no1")


@pytest.mark.parametrize(
    ("customer", "words"),
    [
        ("no1", "nb"),
        ("en1", "en (the files without a tag)"),
        ("sv1", "nb, because the mail has no version in 'sv'"),
        ("none1", "en (the files without a tag), because the customer's language is not known"),
    ],
)
def test_explain_names_the_version_of_a_customer(shop: Shop, customer: str, words: str) -> None:
    read = shop.campaign()
    assert explain.explain_campaign(shop.store, read, customer, NOW).language == ""
    run_id = shop.launch(read, NOW)
    found = explain.explain_campaign(shop.store, read, customer, NOW)
    assert found.language == found.as_dict()["language"] == words
    assert explain.explain_run(shop.store, "hello", run_id, customer).language == words


def test_samples_of_each_version_are_rendered(shop: Shop) -> None:
    failing = "{{ 1 // (customer.key|length - customer.key|length) }}"
    write(shop, "templates/hello/subject.nb.txt", failing)
    write(shop, "templates/hello/subject.en-GB.txt", failing)
    made = plan.make_plan(shop.store, shop.campaign(), NOW, NOW)
    assert [error.partition(": ")[2] for error in made.errors if "subject.nb.txt:1" in error]
    # No customer gets it now, but one whose language changes may.
    assert [error for error in made.errors if "1 of " in error and "subject.en-GB.txt:1" in error]
    with pytest.raises(Refused, match="errors"):
        launch.launch_plan(shop.store, edition(shop), NOW, NOW)


def test_a_mistake_in_a_translation_names_its_file(shop: Shop) -> None:
    write(shop, "templates/hello/body.nb.html", "<p>\n\n{{ customer.frist_name }}</p>")
    with pytest.raises(InvalidInput, match=r"templates/hello/body\.nb\.html:3:"):
        plan.make_plan(shop.store, shop.campaign(), NOW, NOW)


def test_a_translation_without_a_way_to_unsubscribe_is_not_launched(shop: Shop) -> None:
    write(shop, "templates/hello/body.nb.html", '<!doctype html><html lang="nb"><body>Hei</body></html>')
    made = plan.make_plan(shop.store, shop.campaign(), NOW, NOW)
    assert [error for error in made.errors if "body.nb.html" in error and "no link to unsubscribe" in error]


@pytest.mark.parametrize("change", ["subject.nb.txt", "body.de.html", "delete", "list"])
def test_a_changed_translation_makes_the_plan_not_current(shop: Shop, change: str) -> None:
    plan.make_plan(shop.store, shop.campaign(), NOW, NOW)
    if change == "delete":
        (shop.folder / "templates/hello/subject.en-GB.txt").unlink()
    elif change == "list":
        write(shop, "rules/company.yaml", COMPANY + "languages: [en, nb]\n")
    else:
        write(shop, f"templates/hello/{change}", project.FILES["templates/hello/body.html"])
    part = "company" if change == "list" else "template 'hello'"
    with pytest.raises(Refused, match=rf"have changed since plan .*: {part}\."):
        launch.launch_plan(shop.store, edition(shop), NOW, NOW)


def test_the_list_of_languages_is_only_frozen_where_it_decides(shop: Shop) -> None:
    assert shop.campaign().body["mailing"]["manner"]["languages"] == ["nb", "en"]
    for path in (shop.folder / "templates/hello").glob("*.*.*"):
        path.unlink()
    made = plan.make_plan(shop.store, shop.campaign(), NOW, NOW)
    assert "languages" not in edition(shop).body["mailing"]["manner"]
    write(shop, "rules/company.yaml", COMPANY)
    later = NOW + timedelta(minutes=1)
    assert plan.make_plan(shop.store, edition(shop), later, later).id == made.id


def test_a_run_of_an_earlier_version_thaws(shop: Shop) -> None:
    """Its body has neither translations, nor the company's list, nor (at first) its language."""
    for path in (shop.folder / "templates/hello").glob("*.*.*"):
        path.unlink()
    body = {**shop.campaign().body["mailing"]}
    customer = dialect.table(tables.Customer)
    with shop.store.read() as connection:
        rows = connection.execute(customer.select().where(customer.c.key == "nb1")).all()
    assert len(rows) == 1
    del body["manner"]
    mailing = Mailing.from_frozen(body)
    assert mailing.mails["hello"].choose("nb") is mailing.mails["hello"].choose(None)
    assert snapshots.digest_body(body["contents"]) == snapshots.digest_body(
        {
            "hello": {
                "name": "hello",
                "files": {
                    f"hello/{name}": project.FILES[f"templates/hello/{name}"] for name in ("body.html", "subject.txt")
                },
            }
        }
    )
