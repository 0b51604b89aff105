"""Pictures and attachments reach every inbox whole, once, and as part of the mail."""

from __future__ import annotations

import email
import email.policy
import re
import struct
import threading
import zlib
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from mailshot.bootstrap import App
from mailshot.campaign import launch, plan
from mailshot.campaign.snapshot import as_of
from mailshot.deliver import pipeline
from mailshot.errors import InvalidInput, Refused
from mailshot.render import enclosures, source
from tests.support import project
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
