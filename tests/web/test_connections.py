"""Checks the limits on connections: silent and slow ones, many of them, from one address or several."""

from __future__ import annotations

import logging
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from mailshot.web import connections, server
from tests.support import customer_site
from tests.support.customer_site import PREFERENCES


async def _who(request: Request) -> Response:
    return PlainTextResponse(request.client.host if request.client else "")


async def _broken(request: Request) -> Response:
    raise RuntimeError("a fault of ours")


async def _large(request: Request) -> Response:
    return PlainTextResponse("x" * 8_000_000)


SITE = Starlette(routes=[Route("/", _who), Route("/large", _large)])


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Serve a site that lets an address have 20 connections and waits 1 second for a request."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(connections, "MAX_PER_ADDRESS", 20)
    port = customer_site.free_port()
    running = server.ThreadedServer(SITE, "127.0.0.1", port)
    running.start()
    yield port
    running.stop()


def get(port: int, path: str = "/", **headers: str) -> str:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return str(answer.read().decode())


def answer(connection: socket.socket) -> bool:
    """Read one answer of the site, headers and body, and say whether it is a good one."""
    read = b""
    while not read.endswith(b"127.0.0.1") and (more := connection.recv(4096)):
        read += more
    return read.startswith(b"HTTP/1.1 200 OK")


def is_closed(connection: socket.socket) -> bool:
    """Wait for the end of a connection, at most 30 seconds."""
    connection.settimeout(30)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_silent_connections_block_no_client_and_are_closed(port: int, caplog: pytest.LogCaptureFixture) -> None:
    silent = []
    for _ in range(200):
        silent.append(socket.create_connection(("127.0.0.1", port), timeout=30))
        if len(silent) % 40 == 0:
            assert get(port) == "127.0.0.1"
    assert all(is_closed(connection) for connection in silent)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["Too many connections are open; the longest silent ones are closed."]
    for connection in silent:
        connection.close()


def test_a_slow_request_is_cut_off(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        closed = False
        for number in range(100):
            try:
                slow.sendall(b"X-%d: a\r\n" % number)
                time.sleep(0.1)
            except OSError:
                closed = True
                break
        assert closed or is_closed(slow)


def test_a_slow_second_request_is_cut_off_too(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(slow)
        slow.sendall(b"GET / HT")
        assert is_closed(slow)


def test_a_connection_may_be_used_again(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connected:
        for _ in range(3):
            connected.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer(connected)


def test_unread_responses_block_no_client(port: int) -> None:
    unread = []
    for _ in range(20):
        connected = socket.socket()
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connected.connect(("127.0.0.1", port))
        connected.setblocking(False)
        with suppress(BlockingIOError):
            for _ in range(4):
                connected.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        unread.append(connected)
    for _ in range(5):
        assert get(port) == "127.0.0.1"
    for connected in unread:
        connected.close()


def test_malformed_requests_do_not_fill_the_log(port: int, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connected:
            connected.sendall(b"\x00\x01 nonsense\r\n\r\n")
            assert b"400" in connected.recv(4096)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 1


@pytest.mark.parametrize(("proxies", "seen"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9")])
def test_a_forwarded_address_is_trusted_from_a_known_proxy_only(proxies: tuple[str, ...], seen: str) -> None:
    port = customer_site.free_port()
    running = server.ThreadedServer(SITE, "127.0.0.1", port, proxies)
    running.start()
    try:
        assert get(port, **{"X-Forwarded-For": "203.0.113.9"}) == seen
    finally:
        running.stop()


@pytest.mark.parametrize(
    ("host", "who"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_ipv6_site_counts_as_one_client(host: str, who: str) -> None:
    assert connections.client(host) == who


@pytest.mark.parametrize("origin", ["http://[", "http://]", "//[x", "http://[::1", "\x00", "http://a b"])
def test_an_invalid_origin_is_foreign(client: TestClient, origin: str) -> None:
    assert client.post(PREFERENCES, data={"shown": "{}"}, headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("host", ["[", "]", "http://[", "a:b:c", ""])
def test_an_invalid_host_breaks_nothing(client: TestClient, host: str) -> None:
    assert client.get("/p/x", headers={"Host": host}).status_code in (400, 404)


def test_an_internal_error_has_the_security_headers(look: customer_site.Look, monkeypatch: pytest.MonkeyPatch) -> None:
    site = customer_site.site(look.store)
    monkeypatch.setattr(type(site.state.site), "read", _broken)
    with TestClient(site, "http://127.0.0.1", raise_server_exceptions=False) as client:
        answer = client.get("/healthz")
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
