"""Simulated customers of the demo: they read the mails in the inbox and respond over HTTP, as people would."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_string
from email.utils import parseaddr
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPRedirectHandler, Request, build_opener

from lxml import html

from mailshot.cli import demo_mail_servers
from mailshot.errors import Unavailable

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
READERS, CLICKERS = 12, 5
# Clicks sooner after the mail are classified as a scanner's.
READING = 6.0
# How many are asked until one is found who is taken for a vegetarian, and how long a link may be on its way.
CANDIDATES = 5
LINK_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """A mail as its reader sees it."""

    to: str
    subject: str
    headers: dict[str, str]
    html: str
    #: The whole mail.
    source: str

    def links(self, part: str) -> list[str]:
        """Return the addresses in the mail that contain `part`, images included."""
        addresses = [str(link) for _, _, link, _ in html.fromstring(self.html).iterlinks()]
        return [link for link in dict.fromkeys(addresses) if part in link]


class Visitors:
    """A handful of customers with a mail client each."""

    def __init__(self, inbox_url: str) -> None:
        self._inbox = inbox_url
        self._open = build_opener(_Stay())
        self._corrected, self._vegan, self._suppressed = "", "", ""

    def wait_until_there(self, process: Popen[bytes]) -> None:
        """Wait until the inbox answers. Raises Unavailable when it does not within 30 seconds."""
        for _ in range(150):
            try:
                self._get(f"{self._inbox}/api/mails?most=1")
                return
            except URLError:
                if process.poll() is not None:
                    break
                time.sleep(0.2)
        raise Unavailable("The inbox did not start.", "Is another one running? See MAILSHOT_INBOX_WEB_PORT.")

    def answer(self) -> Iterator[str]:
        """Read, click, leave and correct; say what each did."""
        listed = self._listed()
        yield f"{len(listed):,} mails are in the inbox."
        time.sleep(READING)
        mails = [self._mail(item["id"]) for item in listed[:READERS]]
        yield from self._read(mails)
        yield self._leave(mails[-1])
        yield self._correct(listed)
        yield self._turn_vegan(listed)

    def send_back(self, folder: Path) -> Iterator[str]:
        """Write what servers and mail programs send back about three mails; say what each is."""
        known = (self._corrected, self._vegan)
        last = [mail for mail in (self._mail(item["id"]) for item in self._listed()[-8:]) if mail.to not in known][-3:]
        gone, annoyed, leaving = last
        folder.mkdir(exist_ok=True)
        (folder / "bounce.eml").write_bytes(demo_mail_servers.bounce(gone.source, parseaddr(gone.to)[1], "hard"))
        yield f"The server of {gone.to} returned the mail: no such mailbox."
        (folder / "complaint.eml").write_bytes(demo_mail_servers.complaint(annoyed.source))
        yield f"{annoyed.to} pressed the spam button, and the provider reported it."
        (folder / "unsubscribe.eml").write_bytes(demo_mail_servers.unsubscribe(leaving.source, leaving.to))
        yield f"The mail program of {leaving.to} sent an unsubscribe mail."
        self._suppressed = gone.to

    def _listed(self) -> list[dict[str, Any]]:
        """Return the mails by address, not as they arrived: each demo has the same readers."""
        mails: list[dict[str, Any]] = []
        while True:
            after = mails[-1]["id"] if mails else ""
            page = json.loads(self._get(f"{self._inbox}/api/mails?{urlencode({'after': after})}"))["mails"]
            if not page:
                return sorted(mails, key=lambda item: str(item["to"]))
            mails += page

    def _read(self, mails: list[ReceivedMail]) -> Iterator[str]:
        for mail in mails:
            for pixel in mail.links("/o/"):
                self._get(pixel)
        for mail in mails[:CLICKERS]:
            for link in mail.links("/c/")[:1]:
                self._get(link)
        yield f"{len(mails)} customers opened their mail, {CLICKERS} of them clicked an offer."

    def _leave(self, mail: ReceivedMail) -> str:
        """What a mail client's unsubscribe button does (RFC 8058)."""
        url = mail.headers["List-Unsubscribe"].split(">")[0].strip(" <")
        self._post(url, {"List-Unsubscribe": "One-Click"})
        return f"{mail.to} unsubscribed with one click."

    def _correct(self, listed: list[dict[str, Any]]) -> str:
        """Find somebody we take for a vegetarian, and let them say that we are wrong."""
        subjects = {item["subject"] for item in listed[:READERS]}
        rare = [item for item in listed if item["subject"] not in subjects] + listed
        for item in rare[:CANDIDATES]:
            mail = self._mail(item["id"])
            save_url, form = self._own_data(mail)
            control = next((name for name in form.fields if str(name).endswith("diet.vegetarian")), None)
            if control is None:
                continue
            evidence = form.xpath(f".//fieldset[.//input[@name='{control}']]//p[@class='evidence']/text()")
            form.fields[control] = "wrong"
            self._post(save_url, [pair for pair in form.form_values() if not _unanswered(*pair)])
            self._corrected = mail.to
            read = f"read “{evidence[0] if evidence else ''}” and corrected it: “I do eat meat”."
            return f"{mail.to} asked for a link to their data, {read}"
        return "No customer was inferred to be vegetarian."

    def _own_data(self, mail: ReceivedMail) -> tuple[str, Any]:
        """Ask for the link to one's own data, wait for the mail, open it; return where to save, and the form."""
        known = {item["id"] for item in self._listed()}
        self._post(f"{mail.links('/p/')[0]}/data", {})
        (link,) = self._mail(self._wait_for_mail(known, mail.to)).links("/d/")
        page = html.fromstring(self._post(link, {}).decode(), base_url=link)
        form = next(form for form in page.forms if str(form.action).endswith("/save"))
        return urljoin(link, form.action), form

    def _wait_for_mail(self, known: set[str], to: str) -> str:
        """Return the id of the mail that came for an address meanwhile. Raises Unavailable when there is none."""
        for _ in range(LINK_SECONDS * 2):
            new = (item for item in self._listed() if item["id"] not in known)
            mail_id = next((str(item["id"]) for item in new if parseaddr(item["to"])[1] == parseaddr(to)[1]), None)
            if mail_id:
                return mail_id
            time.sleep(0.5)
        raise Unavailable("The mail with the link to one's own data did not come.", "Is a worker running?")

    def _turn_vegan(self, listed: list[dict[str, Any]]) -> str:
        """Let one more customer say on the preference page that they eat vegan."""
        mail = next(
            mail for mail in (self._mail(item["id"]) for item in listed[READERS:]) if mail.to != self._corrected
        )
        page_url, form = self._preferences(mail)
        form.fields["say.diet"] = "vegan"
        self._post(page_url, [pair for pair in form.form_values() if not _unanswered(*pair)])
        self._vegan = mail.to
        return f"{mail.to} stated: “Vegan”. That implies vegetarian, and no pork."

    def _preferences(self, mail: ReceivedMail) -> tuple[str, Any]:
        """Open the preference page of a mail; return its address and its form."""
        page_url = mail.links("/p/")[0]
        page = html.fromstring(self._get(page_url).decode())
        return page_url, next(form for form in page.forms if form.method == "POST")

    @property
    def vegan(self) -> str:
        """The address of the customer who stated a vegan diet, or ''."""
        return self._vegan

    @property
    def suppressed(self) -> str:
        """The address whose mail came back, or ''."""
        return self._suppressed

    @property
    def corrected(self) -> str:
        """The address of the customer who corrected a trait, or nothing."""
        return self._corrected

    def _mail(self, mail_id: str) -> ReceivedMail:
        mail = json.loads(self._get(f"{self._inbox}/api/mails/{mail_id}"))
        headers = {name: str(value) for name, value in message_from_string(mail["source"]).items()}
        to = str(mail["headers"].get("To", ""))
        shown = mail["html"] or mail["text"]
        return ReceivedMail(to, str(mail["headers"].get("Subject", "")), headers, shown, mail["source"])

    def _get(self, url: str) -> bytes:
        return self._ask(Request(url, headers={"User-Agent": BROWSER}))

    def _post(self, url: str, fields: Any) -> bytes:
        body = urlencode(fields).encode()
        return self._ask(Request(url, data=body, headers={"User-Agent": BROWSER}, method="POST"))

    def _ask(self, request: Request) -> bytes:
        try:
            with self._open.open(request, timeout=20) as response:
                body: bytes = response.read()
                return body
        except HTTPError as error:
            if error.code in (302, 303):
                return b""
            raise


def _unanswered(name: str, value: str) -> bool:
    """lxml takes a radio button with an empty value ("No answer") for one without a value, which says "on"."""
    return value == "on" and name.startswith(("say.", "judge.", "pause"))


class _Stay(HTTPRedirectHandler):
    """Notice where a click leads without going there: the shop of the example does not exist."""

    def redirect_request(self, *_: Any) -> None:
        return None
