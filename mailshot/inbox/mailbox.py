"""The folder of caught mails, one file each.

A mail is written under `tmp` and renamed into `new`, so that a file in `new` is complete. Its name begins with the time
of arrival, so sorted names are mails in order. The envelope is on top as headers, as a mail server would write it.
"""

from __future__ import annotations

import bisect
import itertools
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailshot import safe_files
from mailshot.inbox import message

NAME = re.compile(r"^[0-9]{16}-[0-9]{6}$")
ENDING = ".eml"


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """One mail in the list."""

    #: The name of its file without the ending.
    id: str
    at: datetime
    sender: str
    to: str
    subject: str


class Mailbox:
    """The mails of one folder. Several threads may use it."""

    def __init__(self, folder: Path) -> None:
        self._new, self._tmp = folder / "new", folder / "tmp"
        for part in (folder, self._new, self._tmp):  # mails contain valid links of customers
            safe_files.make_private_folder(part)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._ids = sorted(file.stem for file in self._new.iterdir() if NAME.match(file.stem))
        self._seen: dict[str, CaughtMail] = {}

    def add(self, sender: str, recipients: Sequence[str], content: bytes) -> str:
        """Store one mail and return its id. Raises OSError when it cannot be written."""
        envelope = [f"Return-Path: <{sender}>", *(f"Delivered-To: {address}" for address in recipients)]
        head = "".join(f"{line}\r\n" for line in envelope).encode("utf-8", "surrogateescape")
        name = f"{time.time_ns() // 1000:016d}-{next(self._numbers) % 1_000_000:06d}"
        part = self._tmp / name
        safe_files.create_private(part)
        part.write_bytes(head + content)
        os.rename(part, self._new / f"{name}{ENDING}")
        with self._lock:
            bisect.insort(self._ids, name)
        return name

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, mail_id: str) -> bytes | None:
        """Return a mail's bytes, None when there is no such mail."""
        if not NAME.match(mail_id):
            return None
        try:
            return (self._new / f"{mail_id}{ENDING}").read_bytes()
        except FileNotFoundError:
            return None

    def newest(self, search: str = "", skip: int = 0, most: int = 50) -> tuple[list[CaughtMail], int]:
        """Return a page of the mails with `search` in sender, recipient or subject, and how many there are in all."""
        with self._lock:
            ids = self._ids[::-1]
        if not search:
            return self._mails(ids[skip : skip + most]), len(ids)
        text = search.casefold()
        mails = [mail for mail in self._mails(ids) if text in f"{mail.sender}\n{mail.to}\n{mail.subject}".casefold()]
        return mails[skip : skip + most], len(mails)

    def after(self, mail_id: str, most: int = 1000) -> list[CaughtMail]:
        """Return the mails that arrived after `mail_id` ('' for all), oldest first."""
        with self._lock:
            start = bisect.bisect_right(self._ids, mail_id)
            ids = self._ids[start : start + most]
        return self._mails(ids)

    def empty(self) -> int:
        """Delete all mails and return how many there were."""
        with self._lock:
            ids, self._ids, self._seen = self._ids, [], {}
        for mail_id in ids:
            (self._new / f"{mail_id}{ENDING}").unlink(missing_ok=True)
        return len(ids)

    def _mails(self, ids: Sequence[str]) -> list[CaughtMail]:
        return [mail for mail_id in ids if (mail := self._mail(mail_id))]

    def _mail(self, mail_id: str) -> CaughtMail | None:
        known = self._seen.get(mail_id)
        raw = None if known else self.read(mail_id)
        if raw is not None:
            at = datetime.fromtimestamp(int(mail_id[:16]) / 1e6, UTC)
            summary = message.summary(raw)
            known = self._seen[mail_id] = CaughtMail(mail_id, at, summary.sender, summary.to, summary.subject)
        return known
