"""Checks what is read from the bytes of a mail, however malformed."""

from __future__ import annotations

import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailshot.inbox import message
from mailshot.inbox.message import CaughtMessage


def mail(html: str = "<p>Hello</p>", **headers: str) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Greenleaf <a@example.com>", "Zoë <z@example.com>", "Für dich: Feigen"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content("Hello")
    made.add_alternative(html, subtype="html")
    return made.as_bytes()


def test_encoded_words_and_parts_are_read() -> None:
    seen = CaughtMessage(mail("<p>Grüße</p>"))
    assert seen.headers["Subject"] == "Für dich: Feigen"
    assert message.summary(seen.raw).to == "Zoë <z@example.com>"
    assert (seen.text or "").strip() == "Hello"
    assert "Grüße".encode() in (seen.html or b"")


def test_attachments_are_listed_and_inline_pictures_are_not() -> None:
    made = EmailMessage()
    made.set_content("Hello")
    made.add_alternative('<img src="cid:a@b">', subtype="html")
    made.get_payload()[1].add_related(b"GIF89a", "image", "gif", cid="<a@b>", filename="a.gif")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Vilkår.pdf")
    seen = CaughtMessage(made.as_bytes())
    assert seen.attachments == [("Vilkår.pdf", 4)]
    assert seen.part("a@b") == ("image/gif", b"GIF89a")
    assert CaughtMessage(mail()).attachments == []


def test_links_are_listed_with_their_text() -> None:
    html = '<a href="https://x.example/a?b=1&amp;c=2">To <b>the</b> shop</a><a href="/y"><img alt="Logo"></a><a>no</a>'
    assert CaughtMessage(mail(html)).links == [("To the shop", "https://x.example/a?b=1&c=2"), ("Logo", "/y")]


@pytest.mark.parametrize(
    "html", ["<!doctype html><html><head><title>x</title></head><p>y", "<!DOCTYPE html><p>y", "<p>y"]
)
def test_links_open_in_a_new_tab_and_the_doctype_stays_first(html: str) -> None:
    page = CaughtMessage(mail(html)).page("/inline?id=")
    assert page.count(b'<base target="_blank">') == 1
    assert page.lower().startswith(b"<!doctype") == html.lower().startswith("<!doctype")


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("http://127.0.0.1:8080/u/x", True),
        ("https://localhost/u/x", True),
        ("http://[::1]:8080/u/x", True),
        ("https://news.example.com/u/x", False),
        ("http://127.0.0.1.example.com/u/x", False),
        ("http://127.0.0.1@example.com/u/x", False),
        ("http://169.254.169.254/latest", False),
        ("ftp://127.0.0.1/u/x", False),
        ("http://127.0.0.1:99999/u", False),
    ],
)
def test_one_click_posts_to_this_machine_only(url: str, taken: bool) -> None:
    one_click = "List-Unsubscribe=One-Click"
    seen = CaughtMessage(mail(List_Unsubscribe=f"<mailto:u@example.com>, <{url}>", List_Unsubscribe_Post=one_click))
    assert seen.one_click == (url if taken else None)
    assert CaughtMessage(mail(List_Unsubscribe=f"<{url}>")).one_click is None


ODD = [b"", b"From: ", b"Content-Type: text/html; charset=x-none\r\n\r\n"]


@given(some.binary(max_size=400), some.sampled_from(ODD))
def test_no_bytes_cause_an_error(body: bytes, head: bytes) -> None:
    seen = CaughtMessage(head + body)
    assert isinstance(message.summary(seen.raw).subject, str)
    assert isinstance(seen.source + str(seen.headers) + str(seen.text) + str(seen.links) + str(seen.one_click), str)
    assert b"<base" in seen.page("/x?id=")


def nested(levels: int, inner: bytes = b"x") -> bytes:
    """Return a mail of so many parts, each within the one before."""
    heads = (f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(levels))
    return "".join(heads).encode() + b"Content-Type: text/html\r\n\r\n" + inner


NASTY = {
    "100,000 addresses": b"To: " + b", ".join(b"a%d@example.com" % n for n in range(100_000)) + b"\r\n\r\nx",
    "a header of comments": b"To: " + b"(" * 200_000 + b"\r\n\r\nx",
    "a header of quotes": b"From: " + b'"\\' * 100_000 + b"\r\nContent-Type: " + b"a/" * 90_000 + b"\r\n\r\nx",
    "encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 50_000 + b"\r\n\r\nx",
    "2,000 levels": nested(2_000),
    "2,000 mails in mails": b"Content-Type: message/rfc822\r\n\r\n" * 2_000 + b"x",
    "100,000 parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000,
    "folded boundaries": b"".join(
        b"Content-Type: multipart/x;\r\n boundary*0=a%d\r\n\r\n--a%d\r\n" % (n, n) for n in range(999)
    ),
    "an empty boundary": b'Content-Type: multipart/mixed; boundary=""\r\n\r\n' + b"--\r\n" * 100_000,
    "no end of the headers": b"X: y\r\n" * 300_000,
    "tags": b"Content-Type: text/html\r\n\r\n" + b"<head <a href='x' <!-- " * 100_000,
    "deep tags": b"Content-Type: text/html\r\n\r\n" + b"<a href=x><div>" * 100_000,
    "blanks in the list header": b"List-Unsubscribe-Post: one-click\r\nList-Unsubscribe: <"
    + b" " * 200_000
    + b"\r\n\r\nx",
    **{
        f"charset {name}": b"Content-Type: text/html; charset="
        + name.encode()
        + b"\r\n\r\n"
        + b"xn--a-\x80\\u" * 200_000
        for name in (
            "punycode",
            "idna",
            "undefined",
            "rot13",
            "unicode_escape",
            "utf-7",
            "\x00",
            "base64",
            "a" * 500,
            "utf-16",
        )
    },
    "a content type of comments": b"Content-Type: " + b"(" * 900 + b"\r\n\r\nx",
    "boundaries that begin with a blank": b"".join(
        b'Content-Type: multipart/x; boundary=" b%d"\r\n\r\n-- b%d\r\n' % (n, n) for n in range(2_000)
    ),
    "boundaries of a semicolon": b"".join(
        b'Content-Type: multipart/x; boundary=";b%d"\r\n\r\n--;b%d\r\n' % (n, n) for n in range(300)
    ),
    "blank lines of a carriage return": b"".join(
        b'Content-Type: multipart/x; boundary="b%d"\r\n\r--b%d\r\n' % (n, n) for n in range(2_000)
    ),
    "parts of a boundary in percent signs": b"Content-Type: multipart/x; boundary*=us-ascii''%62\r\n\r\n"
    + b"--b\r\n\r\nx\r\n" * 100_000,
    "nested links": b"Content-Type: text/html\r\n\r\n" + b"<a href=x><div>" * 100 + b"word " * 400_000,
    "a half surrogate": b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA-",
    "a bad transfer encoding": b"Content-Type: text/html\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 1 x\r\n"
    + b"\xff" * 9999,
}


@pytest.mark.parametrize("raw", NASTY.values(), ids=NASTY)
def test_no_mail_takes_long_or_fails(raw: bytes) -> None:
    began = time.process_time()
    seen = CaughtMessage(raw)
    assert message.summary(raw)
    assert all(len(value) <= 2 * message.MAX_HEADER for value in seen.headers.values())
    assert len(seen.links) <= message.MAX_LINKS
    assert sum(len(text) for text, _ in seen.links) <= message.MAX_LINKS * message.MAX_LINK_TEXT
    assert f"{seen.text}{seen.headers}{message.summary(raw)}".encode()
    assert (seen.html, seen.text, seen.one_click, seen.part("x"), seen.source) is not None
    assert isinstance(seen.page("/inline?id="), bytes)
    # Computing time of this process, not the clock's: another process does not change it.
    assert time.process_time() - began < 10


def test_a_mail_of_a_few_levels_is_parsed() -> None:
    assert CaughtMessage(nested(15, b"<p>Hello</p>")).html == b"<p>Hello</p>"
