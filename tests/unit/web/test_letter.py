from __future__ import annotations

from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailshot.web.inbox import letter
from mailshot.web.inbox.letter import Letter


def mail(html: str = "<p>Hello</p>", **headers: str) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Greenleaf <a@example.com>", "Zoë <z@example.com>", "Für dich: Feigen"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content("Hello")
    made.add_alternative(html, subtype="html")
    return made.as_bytes()


def test_encoded_words_and_parts_are_read() -> None:
    seen = Letter(mail("<p>Grüße</p>"))
    assert seen.headers["Subject"] == "Für dich: Feigen"
    assert letter.summary(seen.raw).to == "Zoë <z@example.com>"
    assert (seen.text or "").strip() == "Hello"
    assert "Grüße".encode() in (seen.html or b"")


def test_links_are_listed_with_their_words() -> None:
    html = '<a href="https://x.example/a?b=1&amp;c=2">To <b>the</b> shop</a><a href="/y"><img alt="Logo"></a><a>no</a>'
    assert Letter(mail(html)).links == [("To the shop", "https://x.example/a?b=1&c=2"), ("Logo", "/y")]


@pytest.mark.parametrize(
    "html", ["<!doctype html><html><head><title>x</title></head><p>y", "<!DOCTYPE html><p>y", "<p>y"]
)
def test_links_open_in_a_new_tab_and_the_doctype_stays_first(html: str) -> None:
    page = Letter(mail(html)).page("/inline?id=")
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
    seen = Letter(mail(List_Unsubscribe=f"<mailto:u@example.com>, <{url}>", List_Unsubscribe_Post=one_click))
    assert seen.one_click == (url if taken else None)
    assert Letter(mail(List_Unsubscribe=f"<{url}>")).one_click is None


ODD = [b"", b"From: ", b"Content-Type: text/html; charset=x-none\r\n\r\n"]


@given(some.binary(max_size=400), some.sampled_from(ODD))
def test_no_bytes_break_it(body: bytes, head: bytes) -> None:
    seen = Letter(head + body)
    assert isinstance(letter.summary(seen.raw).subject, str)
    assert isinstance(seen.source + str(seen.headers) + str(seen.text) + str(seen.links) + str(seen.one_click), str)
    assert b"<base" in seen.page("/x?id=")
