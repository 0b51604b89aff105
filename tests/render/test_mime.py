"""The bytes of a message, read back by the standard library, say what was put in and nothing more."""

from __future__ import annotations

import email
import email.header
import hashlib
import json
import re
import subprocess
import sys
from datetime import datetime
from email.message import Message
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailshot.render import headers, mime
from mailshot.render.template import RenderedMail, RenderError
from tests.render.material import NAMES, TRACKING, compile_body, envelope, sample, starter, values

INJECTION = "=?utf-8?q?x=0D=0ABcc:_v@x.org?="
EXPECTED = [
    "Message-ID", "Date", "From", "To", "Subject", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post",
    "Feedback-ID", "MIME-Version", "Content-Type",
]  # fmt: skip


def read(raw: bytes) -> Message:
    """Parse with the standard library, after checking what must hold for every byte of a message."""
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\0" not in raw
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    return email.message_from_bytes(raw)


def decoded(value: str) -> str:
    """Decode the encoded words of a header."""
    return str(email.header.make_header(email.header.decode_header(re.sub(r"\r\n ", " ", value))))


def names(found: Message) -> list[str]:
    """List the header names, without the one that depends on the body."""
    return [name for name in found.keys() if name != "Content-Transfer-Encoding"]  # noqa: SIM118


def plain(text: str) -> str:
    """Say what a body becomes: CRLF at every line end, blanks for controls, `?` for half a character."""
    text = re.sub("\r\n|[\r\x0b\x0c\x85\u2028\u2029]", "\n", text.encode("utf-8", "replace").decode())
    return re.sub("[\x00-\x08\x0e-\x1f\x7f]", " ", text).replace("\n", "\r\n")


def bodies(found: Message) -> list[str]:
    """Decode both alternatives."""
    parts = found.get_payload()
    assert isinstance(parts, list)
    payloads = [part.get_payload(decode=True) for part in parts if isinstance(part, Message)]
    return [payload.decode() for payload in payloads if isinstance(payload, bytes)]


@settings(deadline=None)
@given(st.text(max_size=300), st.text(max_size=120), st.text(max_size=120), st.booleans())
@example(INJECTION, INJECTION, INJECTION, True)
@example("a\r\nBcc: v@x.org", "b\u2028Bcc: v@x.org", "c\x85Bcc: v\x0b\x0c\x1c", False)
@example("x" * 2000, "ü" * 400, '"\\', True)
@example("a, b <c@d>", "\ud800", "=?=?=?", True)
def test_any_text_in_headers_and_bodies_comes_back(subject: str, name: str, body: str, eight_bit: bool) -> None:
    rendered = RenderedMail(subject, f"<p>{body}</p>", f"Text\n{body}")
    found = read(mime.assemble(rendered, envelope(to_name=name, from_name=subject[:80]), eight_bit))
    assert names(found) == EXPECTED
    assert decoded(found["Subject"]) == headers.clean(subject)
    assert headers.clean(name) in decoded(found["To"]).replace('\\"', '"').replace("\\\\", "\\")
    assert found["To"].endswith("<rosa@example.com>") or found["To"] == "rosa@example.com"
    assert bodies(found) == [plain(f"Text\n{body}"), plain(f"<p>{body}</p>")]


@settings(deadline=None)
@given(st.text(max_size=200))
def test_encoded_words_and_lines_keep_their_length(text: str) -> None:
    for line in headers.unstructured("Subject", text).split("\r\n"):
        assert len(line) <= 78 or line.isascii()
        assert all(len(word) <= 75 for word in re.findall(r"=\?\S+\?=", line))
        assert line.strip()


class Skeleton(HTMLParser):
    """The tags of a page and the names of their attributes, without any text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(("/" + tag, ()))


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60))
@example("</p><script>alert(1)</script>")
@example("\" onmouseover='x' {{ customer.email }}")
@example("--><b>")
def test_no_customer_string_changes_the_tags(text: str) -> None:
    mail = compile_body(
        "<html><head><title>{{ customer.first_name }}</title></head><body title='{{ customer.first_name }}'>"
        "<!-- {{ customer.first_name }} --><p>{{ customer.first_name }}</p>"
        "<a href='https://x.example/?{{ customer.first_name }}'>{{ customer.first_name|titlecase }}</a></body></html>"
    )
    pages = [mail.render(values(customer={"first_name": name}), TRACKING).html for name in (text, "x")]
    assert Skeleton(pages[0]).tags == Skeleton(pages[1]).tags


def test_the_headers_of_bulk_mail_are_all_there_once() -> None:
    found = read(mime.assemble(RenderedMail("S", "<p>h</p>", "t"), envelope(extra=(("X-Run", "7"),)), True))
    assert names(found) == [*EXPECTED[:9], "X-Run", *EXPECTED[9:]]
    assert re.sub(r"\r\n ", " ", found["List-Unsubscribe"]) == (
        f"<https://x.example/u/{'t' * 90}>, <mailto:off@x.example?subject=1>"
    )
    assert found["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert found["List-Id"] == '"Offers" <offers.greenleaf.example>'
    assert found["Feedback-ID"] == "week:offers:main:greenleaf"
    assert found["Date"] == "Wed, 04 Mar 2026 05:06:07 +0000"
    assert [part.get_content_type() for part in found.walk()][1:] == ["text/plain", "text/html"]


def test_a_blank_text_part_says_at_least_the_subject() -> None:
    found = read(mime.assemble(RenderedMail("Hello", "<p>h</p>", " \n"), envelope(), True))
    assert bodies(found)[0] == "Hello\r\n"


def test_a_service_mail_has_no_way_out_in_its_headers() -> None:
    raw = mime.assemble(
        RenderedMail("S", "<p>h</p>", "t"), envelope(unsubscribe_url=None, unsubscribe_mailto=None), True
    )
    assert b"List-Unsubscribe" not in raw


@pytest.mark.parametrize(
    ("address", "spelled"),
    [
        ("a@faß.de", "a@xn--fa-hia.de"),
        ("a@例え.jp", "a@xn--r8jz45g.jp"),
        ("a@Example.COM", "a@example.com"),
        ("o'neil+x@example.com", "o'neil+x@example.com"),
    ],
)
def test_domains_are_spelled_by_idna_2008(address: str, spelled: str) -> None:
    assert headers.ascii_address(address) == spelled


@pytest.mark.parametrize(
    "changes",
    [
        {"to_address": "josé@example.com"},
        {"to_address": "a@b@c.example"},
        {"to_address": "a b@example.com"},
        {"to_address": "a@exa mple.com"},
        {"to_address": "a@example.com\r\nBcc: v@x.org"},
        {"to_address": ""},
        {"unsubscribe_url": "https://x.example/ü"},
        {"unsubscribe_url": "https://x.example/>, <mailto:a@b>"},
        {"message_id": "a b@c"},
        {"feedback_id": "a\nb"},
        {"list_id": "a>b"},
        {"extra": (("Subject", "twice"),)},
        {"extra": (("X:Y", "z"),)},
        {"extra": (("Content-Type", "z"),)},
        {"date": datetime(2026, 1, 1)},
    ],
)
def test_what_cannot_stand_in_a_header_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RenderError):
        mime.assemble(RenderedMail("S", "<p>h</p>", "t"), envelope(**changes), True)


@pytest.mark.parametrize(
    ("body", "eight_bit", "encoding"),
    [
        ("plain", False, "7bit"),
        ("grün", True, "8bit"),
        ("grün", False, "quoted-printable"),
        ("x" * 999, True, "quoted-printable"),
        ("ü" * 500, True, "quoted-printable"),
        ("x" * 998, True, "7bit"),
    ],
)
def test_a_body_travels_as_it_can(body: str, eight_bit: bool, encoding: str) -> None:
    found = read(mime.assemble(RenderedMail("S", body, body), envelope(), eight_bit))
    assert [part["Content-Transfer-Encoding"] for part in found.walk()][1:] == [encoding] * 2
    assert bodies(found) == [body, body]


SCRIPT = """
import hashlib, json
from mailshot.render import mime
from tests.render.material import NAMES, TRACKING, envelope, sample, starter
raw = [mime.assemble(starter(n).render(sample(n), TRACKING), envelope(), True) for n in NAMES]
print(json.dumps([hashlib.sha256(r).hexdigest() for r in raw]))
"""


def test_two_processes_write_the_same_bytes() -> None:
    here = [mime.assemble(starter(n).render(sample(n), TRACKING), envelope(), True) for n in NAMES]
    for seed in ("1", "2"):
        shown = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "TZ": f"UTC{seed}"},
        )  # fmt: skip
        assert json.loads(shown.stdout) == [hashlib.sha256(raw).hexdigest() for raw in here]


@pytest.mark.parametrize("name", NAMES)
def test_the_starter_mails_are_messages(name: str) -> None:
    rendered = starter(name).render(sample(name), TRACKING)
    found = read(mime.assemble(rendered, envelope(), True))
    assert bodies(found) == [rendered.text.replace("\n", "\r\n"), rendered.html.replace("\n", "\r\n")]


def test_names_become_words_and_stay_apart() -> None:
    assert headers.word("meat-free") == "meat-free"
    spelled = [headers.word(name) for name in ("käse", "kase", "meat free", "a:b", "Сыр", "チーズ", "kåse")]
    assert all(re.fullmatch(r"[!-9;-~]+", word) for word in spelled)
    assert len(set(spelled)) == len(spelled)
    assert spelled[0].startswith("kase-")
