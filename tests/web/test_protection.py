"""Checks that foreign, malformed and oversized requests are rejected, and the security headers."""

from __future__ import annotations

import time

import pytest
from starlette.testclient import TestClient

from tests.support import customer_site
from tests.support.customer_site import ADA, CLICK, FOREIGN, PIXEL, PREFERENCES, UNSUBSCRIBE

OWN = [{"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1"}, {"Origin": "http://127.0.0.1"}, {}]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", [PREFERENCES, f"{PREFERENCES}/data"])
def test_a_post_from_another_site_is_rejected(
    client: TestClient, look: customer_site.Look, path: str, headers: dict[str, str]
) -> None:
    before = look.everything()
    assert client.post(path, data={"confirm": "erase", "shown": "{}"}, headers=headers).status_code == 403
    assert look.everything() == before


@pytest.mark.parametrize("headers", OWN)
def test_our_own_page_may_post(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post(PREFERENCES, data={}, headers=headers).status_code == 303


@pytest.mark.parametrize("path", [PIXEL, CLICK, UNSUBSCRIBE, PREFERENCES, f"{PREFERENCES}/data", "/x", "/healthz"])
def test_every_response_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "no-store" in headers["cache-control"]
    assert "set-cookie" not in headers


def test_oversized_forms_are_rejected(client: TestClient, look: customer_site.Look) -> None:
    many = {f"f{number}": "x" for number in range(101)}
    assert client.post(PREFERENCES, data=many).status_code == 400
    assert client.post(PREFERENCES, files=dict.fromkeys(many, (None, "x"))).status_code == 400
    assert client.post(PREFERENCES, data={"shown": "x" * 1_100_000}).status_code == 413
    urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
    chunks = (b"a" * 65536 for _ in range(40))
    assert client.post(UNSUBSCRIBE, content=chunks, headers=urlencoded).status_code == 413
    assert client.post(UNSUBSCRIBE, files={"List-Unsubscribe": ("a.txt", "One-Click")}).status_code == 400
    assert look.given(ADA, "offers") is True


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense"),
        ("application/x-www-form-urlencoded", b"%ff%fe=%00&&&==;"),
        ("application/x-www-form-urlencoded; charset=utf-16", b"\xff\xfea=b"),
        ("application/json", b'{"List-Unsubscribe": "One-Click"}'),
        ("", b"List-Unsubscribe=One-Click"),
    ],
)
def test_a_malformed_form_is_rejected_with_a_message(
    client: TestClient, look: customer_site.Look, kind: str, body: bytes
) -> None:
    answer = client.post(UNSUBSCRIBE, content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert look.given(ADA, "offers") is True


def test_the_stylesheet_is_served_without_ranges(client: TestClient) -> None:
    answer = client.get("/static/style.css", headers={"Range": "bytes=0-0,1-1,2-2"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/css")
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404


@pytest.mark.parametrize(("path", "status"), [(UNSUBSCRIBE, 200), (PREFERENCES, 200), (CLICK, 302)])
def test_no_redirect_repeats_a_token(client: TestClient, path: str, status: int) -> None:
    answer = client.get(f"{path}/", headers={"Host": "evil.example"})
    assert answer.status_code == status
    location = answer.headers.get("location", "")
    assert path.rpartition("/")[2] not in location
    assert "evil.example" not in location


def test_health_reports_whether_the_database_answers(client: TestClient) -> None:
    assert client.get("/healthz").text == "ok\n"


def test_values_that_no_database_can_store_are_not_queried(client: TestClient, look: customer_site.Look) -> None:
    shown = '{"say.diet": ["\\ud800", "\\u0000"], "judge.\\ud800.x": ["wrong"]}'
    assert client.post(PREFERENCES, data={"shown": shown}).status_code in (303, 422)
    assert client.post(PREFERENCES, data={"shown": '{"say.diet": ["\\ud800"]}'}).status_code == 303


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "undefined", "unicode_escape", "rot13", "utf-7", "utf-16", "x"]
)
@pytest.mark.parametrize("path", [UNSUBSCRIBE, PREFERENCES])
def test_a_form_in_an_unusual_charset_is_not_read(client: TestClient, path: str, charset: str) -> None:
    kind = {"Content-Type": f"multipart/form-data; boundary=B; charset={charset}"}
    field = (
        b"--B\r\nContent-Disposition: form-data; name=x\r\n\r\n"
        + b"a" * 300_000
        + b"-"
        + b"a" * 300_000
        + b"\r\n--B--\r\n"
    )
    began = time.process_time()
    assert client.post(path, content=field, headers=kind).status_code == 400
    assert time.process_time() - began < 5


def test_headers_over_16_kb_are_rejected(client: TestClient) -> None:
    answer = client.get("/healthz", headers={"X-Long": "x" * 20_000})
    assert answer.status_code == 431
    assert answer.headers["x-content-type-options"] == "nosniff"
