"""Pictures and attachments reach every inbox whole, once, and as part of the mail."""

from __future__ import annotations

import email
import email.policy
import json
import re
import struct
import threading
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from mailshot.bootstrap import App
from mailshot.campaign import launch, plan
from mailshot.campaign.snapshot import as_of
from mailshot.deliver import pipeline
from mailshot.errors import InvalidInput, Refused
from mailshot.render import compose, enclosures, source
from mailshot.store import dialect, tables
from mailshot.tokens import KeyRing
from tests.support import processes, project
from tests.support.processes import Sink
from tests.support.project import NOW, Shop

BODY = """<!doctype html>
<html lang="en"><body><p><img data-inline src="pictures/hero%20one.png" width="2" alt="Hero"></p>
{% if customer.first_name == "P1" %}<p><img alt="Map" data-inline src='../_base/map.png'></p>{% endif %}
<p><a href="{{ links.unsubscribe }}">Unsubscribe</a>, {{ sender.postal_address }}</p></body></html>
"""


def png(red: int) -> bytes:
    """Return a picture of two pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes((red, 0, 0)) * 2
    head = struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")


HERO, MAP, PDF = png(1), png(2), b"%PDF-1.4\n" + bytes(range(256)) * 40


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def shop(shop: Shop) -> Shop:
    write(
        shop.folder,
        {
            "hello/body.html": BODY,
            "hello/settings.yaml": "attachments: [Vilkår.pdf]\n",
            "hello/Vilkår.pdf": PDF,
            "hello/pictures/hero one.png": HERO,
            "_base/map.png": MAP,
            "_base/unused.png": png(3),
        },
    )
    return shop


def mails(sink: Sink) -> dict[str, EmailMessage]:
    policy = email.policy.default
    return {entry["rcpt"]: email.message_from_string(entry["data"], policy=policy) for entry in sink.entries()}


def tree(part: EmailMessage) -> Any:
    """Return the types of a message's parts, nested as they are."""
    inner: list[EmailMessage] = list(part.iter_parts())  # type: ignore[arg-type]
    return (part.get_content_type(), *map(tree, inner)) if part.is_multipart() else part.get_content_type()


def test_each_mail_carries_its_pictures_and_the_attachment(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    run_id = shop.launch()
    pipeline.send_batch(app().send_settings, run_id, 1000, threading.Event())
    received = mails(sink)
    assert len(received) == 60
    shapes = {}
    for address, mail in received.items():
        html = next(part for part in mail.walk() if part.get_content_type() == "text/html").get_content()
        pictures = {part["Content-ID"].strip("<>"): part for part in mail.walk() if part["Content-ID"]}
        shown = re.findall(r"cid:([^\"']+)", html)
        assert set(shown) == set(pictures), address
        assert pictures[shown[0]].get_content() == HERO
        attached = list(mail.iter_attachments())
        assert [(part.get_filename(), part.get_content()) for part in attached] == [("Vilkår.pdf", PDF)]
        shapes[address] = tree(mail)
    related = ("multipart/related", "text/html", "image/png")
    assert set(shapes.values()) <= {
        ("multipart/mixed", ("multipart/alternative", "text/plain", (*related, *more)), "application/pdf")
        for more in ((), ("image/png",))
    }


def test_a_mail_without_files_is_as_it_was(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    write(shop.folder, {"hello/body.html": project.FILES["templates/hello/body.html"], "hello/settings.yaml": ""})
    run_id = shop.launch()
    pipeline.send_batch(app().send_settings, run_id, 1, threading.Event())
    (mail,) = mails(sink).values()
    assert tree(mail) == ("multipart/alternative", "text/plain", "text/html")


def test_a_plan_says_how_much_is_sent(shop: Shop) -> None:
    edition = shop.campaign()
    made = plan.make_plan(shop.store, edition, as_of(edition, None, NOW), NOW)
    sizes = [len(content) for content in (HERO, MAP, PDF)]
    assert sum(sizes) < made.enclosed["hello"] < 1.5 * sum(sizes)
    assert made.as_dict()["enclosed_bytes"] == dict(made.enclosed)


@pytest.mark.parametrize("changed", ["hello/Vilkår.pdf", "_base/map.png"])
def test_another_file_needs_another_plan(shop: Shop, changed: str) -> None:
    edition = shop.campaign()
    plan.make_plan(shop.store, edition, as_of(edition, None, NOW), NOW)
    write(shop.folder, {changed: png(9) if changed.endswith("png") else b"%PDF-1.5"})
    with pytest.raises(Refused, match="have changed since") as refused:
        launch.launch_plan(shop.store, shop.campaign(), as_of(edition, None, NOW), NOW)
    assert "template" in str(refused.value)


def problems(shop: Shop) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        shop.campaign().mailing()
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("files", "place", "message"),
    [
        ({"hello/body.html": BODY.replace("hero%20one", "herro")}, "body.html:2", "There is no picture"),
        ({"hello/body.html": BODY.replace("pictures/", "../../")}, "body.html:2", "There is no picture"),
        ({"hello/body.html": BODY.replace("pictures", "https://a.example")}, "body.html:2", "leave data-inline out"),
        ({"hello/body.html": BODY.replace("<img data", "<table data")}, "body.html:2", "data-inline is for an <img>"),
        ({"hello/pictures/hero one.png": b"GIF89a"}, "body.html:2", "is not a PNG"),
        ({"hello/settings.yaml": "attachments: [terms.pdf]"}, "settings.yaml:1:15", "no file 'terms.pdf'"),
        (
            {"hello/settings.yaml": "attachments:\n- ../_base/map.png\n- ../week/x.pdf"},
            "settings.yaml:3:3",
            "\n    - ../week/x.pdf\n      ^\n",
        ),
        ({"hello/settings.yaml": "attachments: [a.exe]", "hello/a.exe": b"MZ"}, "yaml:1:15", "cannot be attached"),
        ({"hello/settings.yaml": "attachments: [Vilkår.pdf, Vilkår.pdf]"}, "settings.yaml:1:27", "Two attachments"),
        ({"hello/settings.yaml": "attachment: [a.pdf]"}, "settings.yaml:1:1", "unknown word 'attachment'"),
        ({"hello/Vilkår.pdf": b"%PDF" + bytes(enclosures.MAX_BYTES - 60)}, "body.html", "have 1,000,"),
        ({"hello/settings.yaml": "attachments: [e.pdf]", "hello/e.pdf": b""}, "e.pdf", "file is empty"),
        ({"hello/pictures/hero one.png": b""}, "hero one.png", "file is empty"),
        ({"hello/preheder.txt": "Apples"}, "preheder.txt", "Did you mean preheader.txt?"),
        ({"hello/preheader.html": "Apples"}, "preheader.html", "Did you mean preheader.txt?"),
        ({"hello/Vilkår.pdf": bytes(enclosures.MAX_BYTES + 1)}, "Vilkår.pdf", "at most 1,000,000"),
    ],
)
def test_a_wrong_file_is_an_error_at_its_place(
    shop: Shop, files: dict[str, str | bytes], place: str, message: str
) -> None:
    write(shop.folder, files)
    (problem,) = problems(shop)
    assert place in problem
    assert message in problem


@pytest.mark.parametrize(
    ("picture", "remedy"),
    [
        ("pictures/hero%20on.png", "Did you mean 'pictures/hero one.png'?"),
        ("Pictures/Hero one.jpg", "Did you mean 'pictures/hero one.png'?"),
        ("hero one.png", "Did you mean 'pictures/hero one.png'?"),
        ("map.png", "Did you mean '../_base/map.png'?"),
        ("../other/map.png", "Did you mean '../_base/map.png'?"),
        ("pictures/logo.png", "There are: ../_base/map.png, ../_base/unused.png, pictures/hero one.png."),
    ],
)
def test_a_misspelt_picture_gets_the_nearest_file_or_all(shop: Shop, picture: str, remedy: str) -> None:
    write(shop.folder, {"hello/body.html": BODY.replace("pictures/hero%20one.png", picture)})
    (problem,) = problems(shop)
    assert problem.endswith(remedy)


@pytest.mark.parametrize(
    ("attachment", "remedy"),
    [("Vilkar.pdf", "Did you mean 'Vilkår.pdf'?"), ("terms.pdf", "Vilkår.pdf, pictures/hero one.png.")],
)
def test_a_misspelt_attachment_gets_the_nearest_file_or_all(shop: Shop, attachment: str, remedy: str) -> None:
    write(shop.folder, {"hello/settings.yaml": f"attachments: [{attachment}]", "hello/body.nb.txt": "Hei"})
    (problem,) = problems(shop)
    assert problem.endswith(remedy)


def test_files_beside_a_mail_do_not_change_it_while_none_is_missing(shop: Shop) -> None:
    edition = shop.campaign()
    write(shop.folder, {"hello/another.pdf": PDF, "_base/another.png": MAP})
    assert shop.campaign().body == edition.body


def test_the_path_of_a_picture_cannot_depend_on_the_customer(shop: Shop) -> None:
    write(shop.folder, {"hello/body.html": BODY.replace("hero", "{{ customer.key }}")})
    assert any("whose src is a plain path" in problem for problem in problems(shop))


def test_no_link_leads_out_of_the_templates(shop: Shop, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(HERO)
    inside = shop.folder / "templates/hello/pictures/hero one.png"
    inside.unlink()
    inside.symlink_to(secret)
    with pytest.raises(InvalidInput, match=r"hero one\.png"):
        source.read(shop.folder / "templates", "hello")


def test_attachments_that_differ_only_in_case_are_an_error(shop: Shop) -> None:
    """Many readers save attachments to a disk that knows no case: the second would replace the first."""
    names = {"hello/settings.yaml": "attachments: [Terms.pdf, terms.PDF]"}
    write(shop.folder, names | {"hello/Terms.pdf": PDF, "hello/terms.PDF": PDF})
    assert all("differ only in case" in problem for problem in problems(shop))


ODD_NAMES = (
    "50%20off.pdf",
    "100%.pdf",
    "Terms: 2026.pdf",
    "a & b;c=d.pdf",
    "Jane's ''x.pdf",
    "\u00fc" * 120 + ".pdf",
    "\U0001f600 tilbud.pdf",
    "Vilka\u030ar.pdf",
    "\u0645\u0631\u062d\u0628\u0627.pdf",
    "x" * 250 + ".pdf",
)


@pytest.mark.parametrize("eight_bit", [False, True])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_attachments_keep_their_names(shop: Shop, name: str, eight_bit: bool) -> None:
    body = BODY.replace("<p>", "<p>" + "\u00e5" * 3000, 1)
    settings = f"attachments: [{json.dumps(name, ensure_ascii=False)}]\n"
    subject = "Bl\u00e5b\u00e6r " * 30
    write(
        shop.folder,
        {
            "hello/settings.yaml": settings,
            f"hello/{name}": PDF,
            "hello/body.html": body,
            "hello/subject.txt": subject,
        },
    )
    raw = letter(shop).data(eight_bit)
    lines = raw.split(b"\r\n")
    assert not any(end in line for line in lines for end in (b"\r", b"\n"))
    assert max(map(len, lines)) <= 998
    assert eight_bit or raw.isascii()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert not [part.defects for part in message.walk() if part.defects]
    assert message["Subject"].strip() == subject.strip()
    (attached,) = message.iter_attachments()  # type: ignore[attr-defined]
    assert (attached.get_filename(), attached.get_content()) == (name, PDF)


def letter(shop: Shop) -> compose.OutgoingMail:
    """Compose the mail of one customer."""
    facts = {"first_name": "P1", "email": "ida@mail.example"}
    recipient = compose.Recipient(1, 2, "hello", "ida@mail.example", facts, [], True, NOW)
    return compose.compose(shop.campaign().mailing(), recipient, KeyRing.parse(project.KEYS), "https://x.example")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a&amp;b.png", "a&b.png"),
        ("a&#37;20b.png", "a b.png"),
        (" ./50%25.png ", "50%.png"),
        ("x/../\u00fc.png", "\u00fc.png"),
    ],
)
def test_the_source_of_a_picture_is_read_as_in_a_browser(shop: Shop, source: str, name: str) -> None:
    write(shop.folder, {"hello/body.html": BODY.replace("pictures/hero%20one.png", source), f"hello/{name}": HERO})
    pictures = [file.content_id for file in letter(shop).files if file.content_id]
    assert enclosures.content_id(HERO) in pictures


def test_a_style_block_that_other_tools_inline_is_left_alone(shop: Shop) -> None:
    """Templates of Mosaico mark their style blocks so."""
    block = '<style type="text/css" data-inline="true">p { color: red }</style>'
    write(shop.folder, {"hello/body.html": BODY.replace("<body>", f"<head>{block}</head><body>")})
    assert block in letter(shop).rendered.html


def test_a_mail_in_doubt_is_sent_again_as_it_was(
    shop: Shop, sink: Sink, app: Callable[..., App], tmp_path: Path
) -> None:
    """By another process, after its files were changed or deleted."""
    shop.add(project.people(1, "rst-after-accept-x", first=700))
    run_id = shop.launch(shop.campaign(more="in_doubt: at_least_once\n"))
    pipeline.send_batch(app().send_settings, run_id, 1000, threading.Event())
    write(shop.folder, {"hello/Vilk\u00e5r.pdf": b"%PDF-1.7", "hello/pictures/hero one.png": png(9)})
    (shop.folder / "templates/_base/map.png").unlink()
    delivery = dialect.table(tables.Delivery)
    with shop.store.write() as connection:
        due = delivery.update().where(delivery.c.state == "deferred")
        connection.execute(due.values(next_attempt_at=datetime.now(UTC)))

    def copies() -> list[dict[str, Any]]:
        return [entry for entry in sink.entries() if entry["rcpt"].startswith("rst-")]

    environment = shop.environment(MAILSHOT_SMTP=sink.url)
    worker = processes.worker(environment, tmp_path / "worker.log")
    try:
        processes.until(lambda: len(copies()) >= 2, 60, "a second copy")
    finally:
        processes.end(worker)
    first, second = copies()[:2]
    assert (first["id"], first["sha256"]) == (second["id"], second["sha256"])
    assert "%PDF" not in first["data"]
    assert first["data"].count("Content-Disposition: ") == 2


def test_a_shared_file_of_data_is_attached_in_its_own_encoding(shop: Shop) -> None:
    content = "Epler;12,50 kr\r\nBl\u00e5b\u00e6r;30,00 kr\r\n".encode("latin-1")
    write(shop.folder, {"hello/settings.yaml": "attachments: [../_base/prices.csv]", "_base/prices.csv": content})
    message = email.message_from_bytes(letter(shop).data(True), policy=email.policy.default)
    (attached,) = message.iter_attachments()  # type: ignore[attr-defined]
    assert attached.get_payload(decode=True) == content
    assert attached.get_content_charset() is None, "it is not UTF-8"


def test_more_files_than_any_mail_may_have_are_not_all_read(shop: Shop) -> None:
    names = [f"{number}.png" for number in range(enclosures.MAX_TOTAL // enclosures.MAX_BYTES + 5)]
    shown = "".join(f'<img data-inline alt="" src="{name}">' for name in names)
    write(shop.folder, {"hello/body.html": BODY.replace("<p>", f"<p>{shown}", 1)})
    write(shop.folder, {f"hello/{name}": HERO.ljust(enclosures.MAX_BYTES, b"\0") for name in names})
    with pytest.raises(InvalidInput, match="of all versions have more than 10,000,000"):
        source.read(shop.folder / "templates", "hello")


def test_a_link_inside_the_templates_is_followed(shop: Shop) -> None:
    inside = shop.folder / "templates/hello/pictures/hero one.png"
    inside.unlink()
    inside.symlink_to("../../_base/map.png")
    before = shop.campaign()
    assert before.mailing().mails["hello"].by_language["en"].enclosed[0].content_id == enclosures.content_id(MAP)
    plan.make_plan(shop.store, before, as_of(before, None, NOW), NOW)
    write(shop.folder, {"_base/map.png": png(9)})
    with pytest.raises(Refused, match="have changed since"):
        launch.launch_plan(shop.store, shop.campaign(), as_of(before, None, NOW), NOW)
