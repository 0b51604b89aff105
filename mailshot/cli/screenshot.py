"""Takes a picture of a whole mail with the Chromium or Chrome of this machine.

The browser is driven by the Chrome DevTools Protocol over two pipes (`--remote-debugging-pipe`): no port is opened, and
a browser whose pipes close ends by itself, so none stays behind even if this process is killed. The mail comes as a
`data:` address, so it can read no file of this machine. Scripts do not run; pictures are loaded as by a mail program.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from io import FileIO
from pathlib import Path
from typing import Any

from mailshot.errors import Unavailable

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_APPLICATIONS = ("Google Chrome", "Chromium", "Microsoft Edge")
_REMEDY = "Install Chromium or Chrome, or set CHROMIUM to its path. Without --png, the mail opens in your own browser."
#: Seconds for one answer of the browser, and for the pictures of a mail.
ANSWER_SECONDS, LOAD_SECONDS = 30.0, 20.0
#: Browsers draw no larger picture in one piece; a longer mail is made smaller.
MAX_PIXELS = 16_000
#: A picture is at least as high as the window, in CSS pixels; a low one leaves no blank below a short mail.
SHORTEST = 100
_LATE = "not loaded in time"
#: Reasons of Chromium in plain words; ORB refuses what is no picture, such as a web page.
_REASONS = {
    "ERR_BLOCKED_BY_ORB": "the server sent no picture",
    "ERR_CONNECTION_REFUSED": "the server refused the connection",
    "ERR_NAME_NOT_RESOLVED": "there is no such host",
}
_FLAGS = (
    "--headless", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-extensions",
    "--disable-sync", "--disable-domain-reliability", "--disable-breakpad", "--metrics-recording-only", "--no-pings",
    "--no-service-autorun", "--password-store=basic", "--use-mock-keychain", "--disable-dev-shm-usage", "--mute-audio",
    "--disable-features=OptimizationHints,MediaRouter,Translate,DialMediaRouteProvider,LocalNetworkAccessChecks",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Screen:
    """The viewport of a mail: its width in CSS pixels, the device pixels for each, and the colour scheme."""

    width: int
    scale: float = 1
    is_phone: bool = False
    """A mail that is wider is shrunk to fit, as phones do."""
    is_dark: bool = False


@dataclass(frozen=True, slots=True)
class Screenshot:
    """A picture of a mail as PNG."""

    png: bytes
    is_complete: bool
    """False if the mail was not loaded in time."""
    missing: Mapping[str, str]
    """The pictures of the mail that did not load: their URLs, each with the reason."""


def find_browser() -> str:
    """Return the path of a browser. Raises Unavailable."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise Unavailable(f"CHROMIUM names {chosen}, which is no program.", _REMEDY)
        return found
    programs = [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in _APPLICATIONS]
    for name in (*_NAMES, *programs):
        if path := shutil.which(name):
            return path
    raise Unavailable("No browser was found to take the picture with.", _REMEDY)


def take_screenshot(html: str, screen: Screen, load_seconds: float = LOAD_SECONDS) -> Screenshot:
    """Return a picture of a whole HTML page. Raises Unavailable if there is no browser, or it does not work."""
    with _started() as page:
        page.ask("Page.enable")
        page.ask("Network.enable")
        page.ask("Emulation.setScriptExecutionDisabled", value=True)
        colors = [{"name": "prefers-color-scheme", "value": "dark" if screen.is_dark else "light"}]
        page.ask("Emulation.setEmulatedMedia", features=colors)
        page.ask(
            "Emulation.setDeviceMetricsOverride",
            width=screen.width, height=SHORTEST, deviceScaleFactor=screen.scale, mobile=False,
        )  # fmt: skip
        page.ask("Page.navigate", url=f"data:text/html;charset=utf-8;base64,{base64.b64encode(html.encode()).decode()}")
        is_complete = page.wait("Page.loadEventFired", load_seconds)
        if not is_complete:
            page.ask("Page.stopLoading")
        size = page.ask("Page.getLayoutMetrics")["cssContentSize"]
        width, height = max(screen.width, size["width"]), max(1, size["height"])
        fit = screen.width / width if screen.is_phone else 1
        scale = min(fit, MAX_PIXELS / (max(width, height) * screen.scale))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
        answer = page.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return Screenshot(base64.b64decode(answer["data"]), is_complete, page.pictures.missing(is_complete))


@contextmanager
def _started() -> Iterator[_Page]:
    """Start a browser; afterwards stop it and its processes, and remove its files."""
    if sys.platform == "win32":
        raise Unavailable("Pictures of mails cannot be taken on Windows.", "Use preview without --png.")
    browser = find_browser()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mailshot-", ignore_cleanup_errors=True))
        messages = stack.enter_context(open(Path(folder) / "messages", "w+b", buffering=0))
        (its_commands, commands), (answers, its_answers) = (map(stack.enter_context, _pipe()) for _ in range(2))
        flags = [*_FLAGS, f"--user-data-dir={folder}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium refuses to run as root with it
        try:
            process = _spawn([browser, *flags, "about:blank"], folder, its_commands, its_answers, messages)
            stack.callback(_stop, process)
            its_commands.close()
            its_answers.close()
            yield _Page(commands, answers)
        except (_Gone, OSError) as error:
            messages.seek(0)
            last = messages.read().decode(errors="replace").strip().splitlines()[-1:]
            reason = f"{error}: {last[0][:200]}" if last else str(error)
            raise Unavailable(f"The browser {browser} did not take the picture ({reason}).", _REMEDY) from None


def _pipe() -> tuple[FileIO, FileIO]:
    """Return the end of a pipe to read from, and that to write to."""
    read, write = os.pipe()
    return FileIO(read, "r"), FileIO(write, "w")


def _spawn(program: list[str], folder: str, commands: FileIO, answers: FileIO, messages: FileIO) -> int:
    """Start a browser that reads commands from its descriptor 3 and answers on 4; return its process id."""
    import fcntl

    # Above 9, so that neither is in the way of 3 and 4.
    copies = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 10) for file in (commands, answers)]
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, messages.fileno(), 2),
        (os.POSIX_SPAWN_DUP2, copies[0], 3),
        (os.POSIX_SPAWN_DUP2, copies[1], 4),
    ]
    environment = {**os.environ, "HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder}
    try:
        # In a group of its own: Ctrl-C is for this process, which then stops the browser.
        return os.posix_spawn(program[0], program, environment, file_actions=actions, setpgroup=0)
    finally:
        for copy in copies:
            os.close(copy)


def _stop(process: int) -> None:
    """Stop a browser with all its processes."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(process, 0)


class _Gone(Exception):
    """The browser has ended, refuses a command, or does not answer."""


class _PictureLoads:
    """Records which pictures of a page are loaded, from the Network events of the DevTools Protocol."""

    def __init__(self) -> None:
        self._urls: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._loaded: set[str] = set()

    def record(self, event: str, details: Mapping[str, Any]) -> None:
        """Record an event; those of other things than remote pictures are ignored."""
        number = str(details.get("requestId", ""))
        if event == "Network.requestWillBeSent" and details.get("type") == "Image":
            url = str(details["request"]["url"])
            if not url.startswith("data:"):
                self._urls.setdefault(number, url)  # that of the mail, before redirects
        elif event == "Network.responseReceivedExtraInfo" and details["statusCode"] >= HTTPStatus.BAD_REQUEST:
            self._failures[number] = f"the server answered {details['statusCode']}"
        elif event == "Network.responseReceived" and details["response"]["status"] >= HTTPStatus.BAD_REQUEST:
            self._failures[number] = f"the server answered {details['response']['status']}"
        elif event == "Network.loadingFailed":
            reason = str(details.get("errorText", "")).removeprefix("net::")
            self._failures.setdefault(number, _LATE if details.get("canceled") else _REASONS.get(reason, reason))
        elif event == "Network.loadingFinished":
            self._loaded.add(number)

    def missing(self, is_complete: bool) -> dict[str, str]:
        """Return the URLs of the pictures that did not load, with the reason; all pending ones are late."""
        late = set[str]() if is_complete else self._urls.keys() - self._loaded
        failures = {**dict.fromkeys(late, _LATE), **self._failures}
        return {url: failures[number] for number, url in self._urls.items() if number in failures}


class _Page:
    """A page of a browser, with which this process talks over pipes: JSON objects that end with a NUL."""

    def __init__(self, commands: FileIO, answers: FileIO) -> None:
        self._commands, self._answers = commands, answers
        self.pictures = _PictureLoads()
        self._received = bytearray()
        self._number = 0
        self._session = ""
        self._events: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        """Send a command, and return the answer. Raises _Gone."""
        self._number += 1
        command: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        data = memoryview(json.dumps(command).encode() + b"\0")
        while data:
            data = data[self._commands.write(data) :]
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            message = self._next(deadline)
            if message is None:
                raise _Gone(f"no answer to {method} within {ANSWER_SECONDS:g} seconds")
            if message.get("id") == self._number:
                if "error" in message:
                    raise _Gone(f"{method}: {message['error'].get('message')}")
                result: Mapping[str, Any] = message["result"]
                return result

    def wait(self, event: str, seconds: float) -> bool:
        """Wait for an event, and return whether it has happened in time."""
        deadline = time.monotonic() + seconds
        while event not in self._events:
            if self._next(deadline) is None:
                return False
        return True

    def _next(self, deadline: float) -> dict[str, Any] | None:
        """Return the next message, None at the deadline."""
        while (end := self._received.find(0)) < 0:
            ready, _, _ = select.select([self._answers], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return None
            chunk = self._answers.read(1 << 20)
            if not chunk:
                raise _Gone("it has ended")
            self._received += chunk
        message: dict[str, Any] = json.loads(self._received[:end])
        del self._received[: end + 1]
        if "method" in message:
            self._events.append(message["method"])
            self.pictures.record(message["method"], message.get("params", {}))
        return message
