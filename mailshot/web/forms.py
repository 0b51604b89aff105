"""Owns reading a posted form within limits and from whom it may come; refuses to know any field.

At most 1 MB, 100 fields and 15 seconds; files are refused.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

MOST_BYTES = 1024 * 1024
MOST_FIELDS = 100
LONGEST = 15.0  # seconds
OURS = ("same-origin", "none")
CHARSETS = (b"utf-8", b"utf8", b"us-ascii", b"iso-8859-1")


async def read(request: Request) -> FormData:
    """Return the posted fields, urlencoded or multipart. Raises 400, 408 or 413."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BYTES:
        raise HTTPException(413, "The form is too large.")
    _refuse_odd_charset(request)
    counted = Request(request.scope, _at_most(request.receive))
    try:
        async with asyncio.timeout(LONGEST):
            return await counted.form(max_files=0, max_fields=MOST_FIELDS, max_part_size=MOST_BYTES)
    except TimeoutError:
        raise HTTPException(408, "The form took too long to arrive.") from None
    except (UnicodeError, LookupError):
        raise HTTPException(400, "The form is not readable.") from None


def refuse_foreign(request: Request) -> None:
    """Raise 403 unless a post comes from our own page. The token in the path is what authorises; this keeps others off.

    A client that sends neither header is no browser, so nobody can have been led into it.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        foreign = site not in OURS
    else:
        foreign = origin is not None and _host(origin) != request.headers.get("host", "").lower()
    if foreign:
        raise HTTPException(403, "This form can only be sent from its own page.")


def _refuse_odd_charset(request: Request) -> None:
    """Refuse a form in another charset than browsers send: Python has codecs that take quadratic time."""
    _, options = parse_options_header(request.headers.get("content-type"))
    if options.get(b"charset", b"utf-8").strip().lower() not in CHARSETS:
        raise HTTPException(400, "The form is not readable: send it in UTF-8.")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _at_most(receive: Receive) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MOST_BYTES:
            raise HTTPException(413, "The form is too large.")
        return message

    return counted
