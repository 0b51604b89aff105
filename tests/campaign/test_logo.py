"""The company's logo: what is wrong with it is said at its line, and each mail that shows it has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailshot.campaign import dependencies, plan, snapshot
from mailshot.errors import InvalidInput
from mailshot.render import compose
from mailshot.render.compose import OutgoingMail, Recipient
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing
from tests.deliver.test_enclosures import HERO, MAP, write
from tests.support import project
from tests.support.project import NOW, Shop

SHIPPED = Path(__file__).parents[2] / "templates" / "_base"
COMPANY = project.FILES["rules/company.yaml"]
BODY = '{% extends "_base/layout.html" %}{% block body %}<tr><td><p>Hello</p></td></tr>{% endblock %}\n'
URL = "https://shop.example/logo.png?v=2"
OUTLOOK = '<!--[if mso]><v:image src="{{ company.logo }}"><![endif]-->'


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path) -> Shop:
    opened = Shop.open(sqlite_store, tmp_path, 1)
    write(tmp_path, {f"_base/{path.name}": path.read_bytes() for path in SHIPPED.iterdir()})
    write(tmp_path, {"hello/body.html": BODY, "_base/logo.png": HERO, "brand/Mark.gif": b"GIF89a..."})
    return opened


def set_logo(shop: Shop, logo: str, brand: str = "Bay Shop") -> None:
    text = COMPANY.replace("brand: Bay Shop\n", f"brand: {brand}\n") + (f"logo: {logo}\n" if logo else "")
    assert f"brand: {brand}\n" in text
    (shop.folder / "rules/company.yaml").write_text(text, encoding="utf-8")


def mail(shop: Shop, language: str = "en") -> OutgoingMail:
    facts = {"first_name": "Rosa", "language": language}
    reader = Recipient(1, 1, "hello", "rosa@mail.example", facts, (), False, NOW)
    return compose.compose(shop.campaign().mailing(), reader, KeyRing({0: bytes(32)}), "https://mail.example")


def plan_id(shop: Shop) -> str:
    return plan.make_plan(shop.store, shop.campaign(), NOW, NOW).id


def parts_that_differ(shop: Shop, before: str, after: str) -> list[str]:
    set_logo(shop, before)
    first = dependencies.part_digests(shop.campaign())
    set_logo(shop, after)
    return dependencies.differences(first, dependencies.part_digests(shop.campaign()))


@pytest.mark.parametrize(
    ("logo", "message", "remedy"),
    [
        ("_base/logo.pgn", "There is no file 'templates/_base/logo.pgn'", "Did you mean '_base/logo.png'?"),
        ("templates/_base/logo.png", "There is no file", "Did you mean '_base/logo.png'?"),
        ("mark.gif", "There is no file 'templates/mark.gif'", "Did you mean 'brand/Mark.gif'?"),
        ("shop.example/a/logo.png", "There is no file", "write its whole address: https://shop.example/a/logo.png"),
        ("picture", "There is no file 'templates/picture'", "write its whole address: https://…"),
        ("../../etc/passwd", "There is no file", "begins below templates/"),
        ("_base", "There is no file 'templates/_base'", "begins below templates/"),
        ("_base/text.png", "'templates/_base/text.png' is not a PNG, JPEG or GIF", "Export it"),
        ("_base/style.html", "'templates/_base/style.html' is not a PNG, JPEG or GIF", "Export it"),
        ("_base/large.png", "'templates/_base/large.png' cannot be sent: it has 1,000,001 bytes", "pictures smaller"),
        ("_base/out.png", "'templates/_base/out.png' cannot be sent: a link leads from here out", "Put a copy"),
        ("http://shop.example/a.png", "is plain http", "'https://shop.example/a.png'"),
        ("//shop.example/a.png", "is neither an https address nor a file", "'_base/logo.png' for a file"),
        ("/logo.png", "is neither an https address nor a file", "'https://shop.example/logo.png'"),
        ("data:image/png;base64,AAAA", "is neither an https address nor a file", "Write for example"),
        ("https:///logo.png", "is neither an https address nor a file", "Write for example"),
        ("https://a@shop.example/logo.png", "is neither an https address nor a file", "Write for example"),
        ("'https://shop.example/a b.png'", "is neither an https address nor a file", "Write for example"),
        ("https://shop.example/logo.svg?v=2", "is a picture that many mail programs do not show", "Use a PNG"),
        ("_base/logo.webp", "is a picture that many mail programs do not show", "Use a PNG"),
        ("[a.png]", "'logo' must contain names with values, not a list", "picture, alt, width"),
        ("{alt: Bay}", "'picture' is missing in 'logo'", "Add 'picture: …'"),
        ("{pictur: _base/logo.png}", "unknown word 'pictur'", "Did you mean 'picture'?"),
        ("{picture: _base/logo.png, width: wide}", "'width' must be a whole number, not 'wide'", "digits only"),
        ("{picture: _base/logo.png, width: 601}", "'width' must be at most 600", "smaller"),
        ("{picture: http://shop.example/a.png}", "'picture': 'http://shop.example/a.png' is plain http", "'https://"),
    ],
)
def test_a_mistake_is_named_at_its_line(shop: Shop, logo: str, message: str, remedy: str) -> None:
    write(shop.folder, {"_base/text.png": "no picture", "_base/large.png": HERO + bytes(1_000_001 - len(HERO))})
    outside = shop.folder / "secret.png"
    outside.write_bytes(HERO)
    (shop.folder / "templates/_base/out.png").symlink_to(outside)
    set_logo(shop, logo)
    with pytest.raises(InvalidInput) as caught:
        shop.campaign()
    problems = caught.value.problems
    assert {(problem.file, problem.line) for problem in problems} == {("rules/company.yaml", COMPANY.count("\n") + 1)}
    assert any(message in problem.message and remedy in problem.remedy for problem in problems), problems


def test_a_file_travels_with_the_mail_and_the_brand_stands_in_the_text_once(shop: Shop) -> None:
    set_logo(shop, "_base/logo.png")
    made = mail(shop)
    [file] = made.files
    assert f'src="cid:{file.content_id}" alt="Bay Shop" height="40"' in made.rendered.html
    assert file.data_url in made.page()
    assert "cid:" not in made.page()
    assert made.rendered.text.splitlines()[0] == "Bay Shop"
    assert "cid:" not in made.rendered.text


def test_a_picture_on_a_server_is_shown_by_its_address(shop: Shop) -> None:
    set_logo(shop, f"{{picture: '{URL}&w=1', alt: Bay & Co, width: 160}}")
    made = mail(shop)
    assert f'src="{URL}&amp;w=1" alt="Bay &amp; Co" width="160"' in made.rendered.html
    assert made.files == []
    assert made.rendered.text.splitlines()[0] == "Bay & Co"


@pytest.mark.parametrize("logo", ["_base/logo.png", URL])
def test_translations_the_archive_and_mails_inlined_for_each_customer_have_it(shop: Shop, logo: str) -> None:
    write(shop.folder, {"hello/body.nb.html": BODY.replace("Hello", "Hei"), "hello/subject.nb.txt": "Hei"})
    write(shop.folder, {"hello/settings.yaml": "inline: each\n"})
    set_logo(shop, logo)
    for language, word in (("en", "Hello"), ("nb", "Hei")):
        made = mail(shop, language)
        assert f"<p>{word}</p>" in made.rendered.html
        assert ("cid:" in made.rendered.html, URL in made.rendered.html) == (logo != URL, logo == URL)
        assert len(made.files) == (logo != URL)
    _, page = compose.public_copy(shop.campaign().mailing(), "hello", (), NOW)
    assert ('src="data:image/png;base64,' in page, URL in page) == (logo != URL, logo == URL)


def test_a_mail_that_does_not_show_it_does_not_carry_it(shop: Shop) -> None:
    write(shop.folder, {"hello/body.html": project.FILES["templates/hello/body.html"]})
    set_logo(shop, "")
    before = plan_id(shop)
    set_logo(shop, "_base/logo.png")
    assert plan_id(shop) == before
    assert mail(shop).files == []
    assert shop.campaign().mailing().enclosed_bytes() == {}


def test_a_plan_counts_its_bytes_and_holds_only_for_it(shop: Shop) -> None:
    set_logo(shop, "")
    ids = [plan_id(shop)]
    for logo in ("_base/logo.png", URL, "{picture: _base/logo.png, alt: B}", "{picture: _base/logo.png, width: 9}"):
        set_logo(shop, logo)
        ids.append(plan_id(shop))
    write(shop.folder, {"_base/logo.png": MAP})
    ids.append(plan_id(shop))
    assert len(set(ids)) == len(ids)
    [size] = shop.campaign().mailing().enclosed_bytes().values()
    assert size > len(MAP)


def test_what_changed_is_named(shop: Shop) -> None:
    assert parts_that_differ(shop, "", "_base/logo.png") == ["company"]
    assert parts_that_differ(shop, URL, URL + "1") == ["company"]
    assert parts_that_differ(shop, "_base/logo.png", "brand/Mark.gif") == [
        "template 'brand/Mark.gif'",
        "template '_base/logo.png'",
    ]
    assert parts_that_differ(shop, "_base/logo.png", "{picture: _base/logo.png, alt: Bay Shop}") == []


def test_a_logo_is_no_link(shop: Shop) -> None:
    set_logo(shop, URL)
    write(
        shop.folder, {"hello/body.html": '<html lang="en"><a href="{{ company.logo }}">{{ company.brand }}</a></html>'}
    )
    with pytest.raises(InvalidInput, match="is a picture, not a page") as caught:
        shop.campaign().mailing()
    assert [problem.line for problem in caught.value.problems] == [1]


def test_an_address_of_the_logo_is_no_text(shop: Shop) -> None:
    set_logo(shop, URL)
    write(
        shop.folder,
        {"hello/body.html": BODY.replace("Hello", '<a href="https://shop.example">\n{{ company.logo }}</a>' + OUTLOOK)},
    )
    [fault] = snapshot.faults(shop.campaign())
    assert (fault.file, fault.line) == ("templates/hello/body.html", 2)
    assert "shows the address of the logo as a text" in fault.message


@pytest.mark.parametrize("part", ["subject.txt", "preheader.txt", "body.txt"])
def test_a_text_shows_no_logo(shop: Shop, part: str) -> None:
    set_logo(shop, "_base/logo.png")
    write(shop.folder, {f"hello/{part}": "{% if company.logo %}Hello{% endif %}\n{{ company.logo }}\n"})
    with pytest.raises(InvalidInput, match="A text cannot show a picture") as caught:
        shop.campaign().mailing()
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [(f"templates/hello/{part}", 2)]


def test_templates_can_name_the_brand(shop: Shop) -> None:
    write(shop.folder, {"hello/subject.txt": "News of {{ company.brand }}"})
    set_logo(shop, "")
    first = plan_id(shop)
    set_logo(shop, "", "Bay & Sons")
    assert mail(shop).rendered.subject == "News of Bay & Sons"
    assert plan_id(shop) != first
