"""Checks previews of any content, and pictures of mails: with the real Chromium and a picture server."""

from __future__ import annotations

import os
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mailshot.cli import init, screenshot
from mailshot.cli.screenshot import Screen, take_screenshot
from mailshot.errors import Unavailable
from mailshot.store.engine import Store
from tests.browser import conftest as browsers
from tests.cli.test_campaigns import flat, mailshot
from tests.support.campaigns import WEEK, add, buy, open_shop, write
from tests.support.project import Shop

ROOT = Path(__file__).parents[2]
UP = 2  # the filter that adds the row above
USAGE, MISSING, UNAVAILABLE = 2, 4, 6
SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" width="50" height="50"><rect width="50" height="50" fill="{}"/></svg>'
INTERRUPTED = (130, -signal.SIGINT)


@pytest.fixture
def chromium() -> None:
    browsers.chromium()


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = open_shop(
        sqlite_store,
        tmp_path,
        WEEK.replace("green, when: {country: SE}, template: hello", "green, when: {country: SE}, template: green"),
    )
    body = (made.folder / "templates/hello/body.html").read_text(encoding="utf-8")
    (made.folder / "templates/green").mkdir()
    write(made, "templates/green/subject.txt", "Green")
    write(made, "templates/green/body.html", body.replace("<p>Dear", "<p>{{ offers|length }} greens</p><p>Dear"))
    write(made, "templates/green/sample.yaml", "customer: {first_name: Rosa}\n")
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    norwegian, swede = add(made, "nora", country="NO"), add(made, "sven", country="SE")
    buy(sqlite_store, swede, {1: 3, 2: 1})
    buy(sqlite_store, norwegian, {1: 1})
    assert mailshot("plan", "week")[0] == 0
    return made


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def colors_at(png: bytes, *places: tuple[int, int]) -> list[tuple[int, ...]]:
    """Return the colours of pixels of an RGB or RGBA picture, each place as (x, y)."""
    width, _ = size(png)
    channels = {2: 3, 6: 4}[png[25]]
    data, position = b"", 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        if png[position + 4 : position + 8] == b"IDAT":
            data += png[position + 8 : position + 8 + length]
        position += 12 + length
    raw, above = zlib.decompress(data), bytearray(width * channels)
    colors: dict[tuple[int, int], tuple[int, ...]] = {}
    for y in range(max(y for _, y in places) + 1):
        start = y * (width * channels + 1)
        row = bytearray(raw[start + 1 : start + 1 + width * channels])
        if raw[start] == UP and not any(row):
            row = above  # as above: by far most rows of these pictures
        elif raw[start]:
            for index in range(len(row)):
                left, corner = (line[index - channels] if index >= channels else 0 for line in (row, above))
                row[index] = (row[index] + _predicted(raw[start], left, above[index], corner)) & 255
        colors |= {(x, y): tuple(row[x * channels :][:3]) for x, at in places if at == y}
        above = row
    return [colors[place] for place in places]


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    nearest = min((left, above, corner), key=lambda value: abs(estimate - value))
    return (0, left, above, (left + above) // 2, nearest)[kind]


# Contents


def test_a_content_is_shown_to_a_customer_of_the_plan_who_gets_it(shop: Shop) -> None:
    code, printed = mailshot("preview", "week", "--content", "green", "--client", "plain")
    assert (code, "2 greens" in printed, "By the plan" in printed) == (0, True, False)


def test_attachments_are_named(shop: Shop, tmp_path: Path) -> None:
    write(shop, "templates/green/settings.yaml", "attachments: [Terms.txt, ../_base/hours.csv]\n")
    write(shop, "templates/green/Terms.txt", "Terms")
    (shop.folder / "templates/_base").mkdir(exist_ok=True)
    write(shop, "templates/_base/hours.csv", "day,hour\n")
    code, output = mailshot("preview", "week", "--content", "green", "--to", str(tmp_path / "x.html"))
    assert (code, "Attached: Terms.txt, hours.csv\n" in output) == (0, True), output


def test_a_content_is_shown_for_a_customer_who_gets_another(shop: Shop) -> None:
    code, printed = mailshot("preview", "week", "--as", "nora", "--content", "green", "--text")
    assert code == 0
    assert "By the plan, nora gets 'meat', not 'green'." in flat(printed)
    assert "0 greens" in printed


def test_a_content_that_no_customer_gets_is_shown_for_another(shop: Shop) -> None:
    write(shop, "rules/audiences/all.yaml", "audience: all\nwho: {country: 'NO'}\n")
    assert mailshot("plan", "week")[0] == 0
    code, printed = mailshot("preview", "week", "--content", "green", "--text")
    assert (code, "By the plan, nora gets 'meat'" in flat(printed)) == (0, True)
    code, printed = mailshot("preview", "week", "--content", "green", "--as", "sven", "--text")
    assert (code, "By the plan, sven gets no mail" in flat(printed)) == (0, True)


def test_an_unknown_content_is_refused_with_the_nearest(shop: Shop) -> None:
    for customer in ([], ["--as", "nora"]):
        code, printed = mailshot("preview", "week", "--content", "gren", *customer)
        assert code == MISSING
        assert "'week' has no content 'gren'. Did you mean 'green'?" in flat(printed)


# Pictures


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize(("client", "width"), [("desktop", 1600), ("phone", 750), ("dark", 1600), ("plain", 1600)])
def test_a_picture_is_private_and_as_wide_as_the_client(shop: Shop, tmp_path: Path, client: str, width: int) -> None:
    path = tmp_path / "preview.png"
    code, printed = mailshot("preview", "week", "--as", "sven", "--client", client, "--png", str(path))
    assert (code, "Wrote" in printed) == (0, True), printed
    assert size(path.read_bytes())[0] == width
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not (Path.cwd() / "preview.html").exists()


def test_a_phone_is_only_for_pictures(shop: Shop) -> None:
    code, printed = mailshot("preview", "week", "--client", "phone")
    assert (code, "--png FILE" in printed) == (USAGE, True)


def test_without_a_browser_the_error_says_what_to_do(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(screenshot, "_APPLICATIONS", ())
    code, printed = mailshot("preview", "week", "--png", str(tmp_path / "a.png"))
    assert code == UNAVAILABLE
    assert "No browser was found" in printed
    assert "Install Chromium or Chrome, or set CHROMIUM" in flat(printed)
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "missing"))
    assert "which is no program" in mailshot("preview", "week", "--png", str(tmp_path / "a.png"))[1]


def test_a_browser_that_fails_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no display here >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o700)
    monkeypatch.setenv("CHROMIUM", str(broken))
    with pytest.raises(Unavailable, match="no display here"):
        take_screenshot("<p>x</p>", Screen(100))


@pytest.mark.usefixtures("chromium")
def test_a_whole_mail_is_shown_however_long() -> None:
    rest = '<p style="height:200px;margin:0">'
    html = '<body style="margin:0;background:#f00"><div style="height:{}px;background:#00f"></div>' + rest
    assert size(take_screenshot(html.format(2800), Screen(100)).png) == (100, 3000)
    assert size(take_screenshot(html.format(100), Screen(800)).png) == (800, 300)
    long = take_screenshot(html.format(39_800), Screen(100)).png
    width, height = size(long)
    assert (width, height) == (40, screenshot.MAX_PIXELS)
    assert colors_at(long, (20, height - 200), (20, height - 10)) == [(0, 0, 255), (255, 0, 0)]


@pytest.mark.usefixtures("chromium")
def test_a_mail_that_is_too_wide_is_shrunk_on_a_phone_and_whole_elsewhere() -> None:
    html = '<body style="margin:0"><div style="width:750px;height:100px;background:#f00"></div>'
    assert size(take_screenshot(html, Screen(375, is_phone=True)).png)[0] == 375
    assert size(take_screenshot(html, Screen(375)).png)[0] == 750


@pytest.mark.usefixtures("chromium")
def test_the_client_decides_media_queries_and_scripts_do_not_run() -> None:
    html = """<!doctype html><meta name="viewport" content="width=device-width"><style>
    body { margin: 0; background: #00f }
    @media (max-width: 400px) { body { background: #0f0 } }
    @media (prefers-color-scheme: dark) { body { background: #f00 } }
    </style><script>document.body.style.background = '#fff'</script><p>x"""
    screens = (Screen(100), Screen(800), Screen(375, is_phone=True), Screen(800, is_dark=True))
    colors = [colors_at(take_screenshot(html, screen).png, (90, 2))[0] for screen in screens]
    assert colors == [(0, 255, 0), (0, 0, 255), (0, 255, 0), (255, 0, 0)]


class Pictures(BaseHTTPRequestHandler):
    """Gives a red picture at once, and never answers for /never.png."""

    def do_GET(self) -> None:
        if self.path.startswith("/gone.png"):
            self.send_error(404)
            return
        if self.path == "/page.png":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>Sign in")
            return
        if self.path == "/never.png":
            self.server.waiting.set()  # type: ignore[attr-defined]
            self.server.closing.wait()  # type: ignore[attr-defined]
            return
        body = SQUARE.format("red").encode()
        self.send_response(200)
        self.send_header("Content-Type", "image/svg+xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def pictures() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    server.daemon_threads = True
    server.waiting, server.closing = threading.Event(), threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.closing.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("chromium")
def test_pictures_of_the_mail_are_loaded_and_files_are_not(pictures: ThreadingHTTPServer, tmp_path: Path) -> None:
    secret = tmp_path / "secret.svg"
    secret.write_text(SQUARE.format("blue"), encoding="utf-8")
    image = '<body style="margin:0"><img width="50" height="50" src="{}">'
    shown = take_screenshot(image.format(f"http://127.0.0.1:{pictures.server_port}/a.svg"), Screen(50))
    assert (shown.is_complete, colors_at(shown.png, (25, 25))) == (True, [(255, 0, 0)])
    refused = take_screenshot(image.format(secret.as_uri()), Screen(50))
    assert colors_at(refused.png, (25, 45)) == [(255, 255, 255)]


@pytest.mark.usefixtures("chromium")
def test_a_picture_that_never_comes_is_left_out(pictures: ThreadingHTTPServer) -> None:
    html = f'<p>x</p><img src="http://127.0.0.1:{pictures.server_port}/never.png">'
    shown = take_screenshot(html, Screen(100), load_seconds=0.5)
    assert not shown.is_complete
    assert list(shown.missing.values()) == ["not loaded in time"]
    assert size(shown.png)[0] == 100


@pytest.mark.usefixtures("chromium")
def test_pictures_that_do_not_load_are_named(
    pictures: ThreadingHTTPServer, shop: Shop, tmp_path: Path, free_tcp_port: int
) -> None:
    server, closed = f"http://127.0.0.1:{pictures.server_port}", f"http://127.0.0.1:{free_tcp_port}/a.png"
    urls = [f"{server}/gone.png", f"{server}/page.png", closed, f"{server}/good.svg"]
    background = f'<div style="background: url({server}/gone.png?2)">x</div>'
    body = (shop.folder / "templates/hello/body.html").read_text(encoding="utf-8")
    images = "".join(f'<img alt="" src="{url}">' for url in urls)
    write(shop, "templates/hello/body.html", body.replace("<p>Dear", f"{images}{background}<p>Dear"))
    assert mailshot("plan", "week")[0] == 0
    code, printed = mailshot("preview", "week", "--png", str(tmp_path / "a.png"))
    lines = [line for line in printed.splitlines() if line.startswith("This picture is missing")]
    assert code == 0, printed
    assert sorted(lines) == sorted(
        [
            f"This picture is missing (the server answered 404): {urls[0]}",
            f"This picture is missing (the server answered 404): {urls[0]}?2",
            f"This picture is missing (the server sent no picture): {urls[1]}",
            f"This picture is missing (the server refused the connection): {closed}",
        ]
    )


@pytest.mark.parametrize(
    ("customer", "remedy"),
    [
        ("norra", "Did you mean 'nora'?"),
        ("NORA", "Did you mean 'nora'?"),
        ("nora@mial.example", "Did you mean 'nora@mail.example'?"),
        ("nobody", "Use an address, or a key as in the files that you import, such as "),
        ("50%", "Use an address, or a key as in the files that you import, such as "),
    ],
)
def test_an_unknown_customer_gets_the_nearest_one_or_examples(shop: Shop, customer: str, remedy: str) -> None:
    code, printed = mailshot("preview", "week", "--as", customer)
    assert (code, remedy in flat(printed)) == (MISSING, True), printed


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Give a folder with a short path: Chromium keeps a socket there, whose path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="stay-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _browsers(folder: Path) -> list[str]:
    """Return the command lines of the processes that keep their files in a folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if f"--user-data-dir={folder}" in line]


@pytest.mark.usefixtures("chromium")
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_no_browser_stays_behind(pictures: ThreadingHTTPServer, short_path: Path, sign: int) -> None:
    url = f"http://127.0.0.1:{pictures.server_port}/never.png"
    code = f"from mailshot.cli.screenshot import *; take_screenshot('<img src={url}>', Screen(100), load_seconds=100)"
    environment = {**os.environ, "TMPDIR": str(short_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE) as process:
        try:
            assert pictures.waiting.wait(60), process.poll()  # type: ignore[attr-defined]
            assert _browsers(short_path)
        finally:
            process.send_signal(sign)
            printed = process.communicate(timeout=60)[1].decode()
    deadline = time.monotonic() + 60
    while _browsers(short_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _browsers(short_path) == []
    if sign == signal.SIGINT:
        assert process.returncode in INTERRUPTED, printed
        assert list(short_path.glob("mailshot-*")) == []


# Warnings


def test_the_check_tells_warnings_about_templates_once_and_does_not_fail(shop: Shop) -> None:
    write(shop, "templates/hello/subject.txt", "RE: APPLES")
    code, printed = mailshot("rules", "check")
    assert code == 0
    assert flat(printed).count("templates/hello/subject.txt:1:1: The subject looks like a reply") == 1


def test_the_check_warns_of_a_logo_that_no_mail_shows(shop: Shop) -> None:
    company = (shop.folder / "rules/company.yaml").read_text(encoding="utf-8")
    write(shop, "rules/company.yaml", company + "logo: https://shop.example/logo.png\n")
    warning = f"Warning: rules/company.yaml:{company.count(chr(10)) + 1}:7: 'logo' has no effect"
    code, output = mailshot("rules", "check")
    assert (code, warning in output) == (0, True), output
    body = (shop.folder / "templates/green/body.html").read_text(encoding="utf-8")
    picture = '<img src="{{ company.logo }}" alt="{{ company.logo_alt }}">'
    write(shop, "templates/green/body.html", body.replace("<p>Dear", f"{picture}<p>Dear"))
    code, output = mailshot("rules", "check")
    assert (code, "logo" in output) == (0, False), output


def test_a_new_project_has_no_warnings_about_its_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shop"
    init.create_project(folder)
    monkeypatch.setenv("MAILSHOT_PROJECT", str(folder))
    for name in ("MAILSHOT_DATABASE", "MAILSHOT_KEYS", "MAILSHOT_ADDRESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    code, printed = mailshot("rules", "check")
    assert (code, "Warning" in printed) == (0, False), printed
