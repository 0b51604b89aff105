"""Masks e-mail addresses and links of customers in logs, and writes logs as text or as JSON.

An address is written as a hash with its domain, and a link without its token, whichever library logged it. Servers echo
recipients in their replies, libraries log what they send, and an exception carries the value that it failed on. So
every record of the process is masked when it is created, before any handler sees it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

HASH_DIGITS = 8
#: A local part, quoted or not, an @ as it is or as links and bounce addresses spell it, and a domain or an IP address.
_ADDRESS = re.compile(
    r"(?P<local>\"(?:[^\"\\\r\n]|\\.){1,200}\"|[^\s<>()\[\],;:\"@\\]{1,200}?)"
    r"(?:@|%40|=40)(?P<domain>[\w-][\w.-]*|\[[0-9A-Fa-f:.]+\])"
)
#: The path of a customer's link: everything with its token, which is at least 25 characters long (`tokens`).
_LINK = re.compile(r"(/(?:[acdopuv]|signup/confirm)/)[A-Za-z0-9_-]{20,}")
TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)
#: The run that is being sent in this context; None outside a batch.
_run: ContextVar[int | None] = ContextVar("run", default=None)
#: Without a key that the installation keeps, hashes mean something within one process only.
_key = os.urandom(16)


def use_key(key: bytes) -> None:
    """Hash addresses as the database does: what a log shows is the beginning of `customer.address_hash`."""
    global _key
    _key = key


def masked(text: str) -> str:
    """Return a text with every e-mail address in it as `<hash>@<domain>`, and customers' links without their tokens."""
    text = _LINK.sub(r"\1…", text) if "/" in text else text
    return _ADDRESS.sub(_hashed, text) if "@" in text or "40" in text else text


def mask_logs() -> None:
    """Mask the records of all loggers of this process from now on, and leave out what logs whole rows or mails."""
    logging.setLogRecordFactory(_Record)
    for name in ("sqlalchemy", "mail.log"):
        logging.getLogger(name).setLevel(logging.WARNING)


def use_format(name: str) -> None:
    """Write the logs of this process in one of `FORMATS` from now on. `text` leaves everything as it is.

    With `json`, what Python itself would print is logged, too: warnings, and exceptions that end a thread or the
    process. Otherwise these lines would be no JSON, and not masked.
    """
    if name != JSON:
        return
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter())
    logging.captureWarnings(True)
    sys.excepthook = lambda *error: _log_exception("the process ended", error)
    threading.excepthook = lambda ended: _log_exception(
        f"the thread {ended.thread.name if ended.thread else ''} ended",
        (ended.exc_type, ended.exc_value, ended.exc_traceback),
    )


def are_json() -> bool:
    """Return whether this process writes its logs as JSON."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


@contextmanager
def of_run(run_id: int) -> Iterator[None]:
    """Note in every record of the block, its tasks and its worker threads that it is about this run."""
    token = _run.set(run_id)
    try:
        yield
    finally:
        _run.reset(token)


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object in one line.

    `time` (ISO 8601, UTC), `level`, `logger`, `message`; `run` where a run is being sent, `exception` with a traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, Any] = {"time": time, "level": record.levelname, "logger": record.name}
        line["message"] = record.getMessage()
        if (run_id := getattr(record, "mailshot_run", None)) is not None:
            line["run"] = run_id
        if record.exc_text:
            line["exception"] = record.exc_text
        # Anything but ASCII is escaped, so that no character can end the line or fail to be encoded.
        return json.dumps(line)


class _Record(logging.LogRecord):
    """A record whose message and traceback are masked."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.mailshot_run = _run.get()
        if self.exc_info and self.exc_info[0]:
            # What is set here is what formatters print.
            self.exc_text = masked("".join(traceback.format_exception(*self.exc_info)).rstrip())

    def getMessage(self) -> str:
        return masked(super().getMessage())


def _hashed(match: re.Match[str]) -> str:
    local = match["local"].lstrip("'")
    digest = hmac.digest(_key, f"{local}@{match['domain']}".lower().encode("utf-8", "replace"), hashlib.sha256)
    return f"<{digest.hex()[:HASH_DIGITS]}>@{match['domain']}"


def _log_exception(message: str, error: tuple[Any, Any, Any]) -> None:
    # SystemExit is the normal way to end a thread early, not an error.
    if error[0] is not None and not issubclass(error[0], SystemExit):
        logging.getLogger(__name__).critical("%s by an exception", message, exc_info=error)
