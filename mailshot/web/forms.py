"""Reads posted forms and other bodies within limits, and rejects forms from other sites.

A body has at most 1 MB and 15 seconds to arrive. A form has at most 100 fields; files are rejected.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

MAX_BYTES = 1024 * 1024
MAX_FIELDS = 100
MAX_SECONDS = 15.0
#: Values of Sec-Fetch-Site that our own page or the browser itself causes.
OWN_SITES = ("same-origin", "none")
CHARSETS = (b"utf-8", b"utf8", b"us-ascii", b"iso-8859-1")


async def read_form(request: Request) -> FormData:
    """Return the posted fields, urlencoded or multipart. Raises 400, 408 or 413."""
    counted = _counted(request)
    _reject_unusual_charset(request)
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await counted.form(max_files=0, max_fields=MAX_FIELDS, max_part_size=MAX_BYTES)
    except TimeoutError:
        raise _too_slow() from None
    except (UnicodeError, LookupError):
        raise HTTPException(400, "The form is not readable.") from None


async def read_body(request: Request) -> bytes:
    """Return the body as it came. Raises 408 or 413."""
    counted = _counted(request)
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await counted.body()
    except TimeoutError:
        raise _too_slow() from None


def reject_foreign(request: Request) -> None:
    """Raise 403 unless a post comes from our own page (the token in the path authorises; this prevents CSRF).

    A client that sends neither header is not a browser, so no other site can have caused its request.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        foreign = site not in OWN_SITES
    else:
        foreign = origin is not None and _host(origin) != request.headers.get("host", "").lower()
    if foreign:
        raise HTTPException(403, "This form can only be sent from its own page.")


def _reject_unusual_charset(request: Request) -> None:
    """Reject a form in a charset that browsers do not send: some of Python's codecs take quadratic time."""
    _, options = parse_options_header(request.headers.get("content-type"))
    if options.get(b"charset", b"utf-8").strip().lower() not in CHARSETS:
        raise HTTPException(400, "The form is not readable: send it in UTF-8.")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _counted(request: Request) -> Request:
    """Return the request with a limit on its body. Raises 413 when its length is over the limit already."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BYTES:
        raise _too_large()
    return Request(request.scope, _at_most(request.receive))


def _too_large() -> HTTPException:
    return HTTPException(413, "The request is too large.")


def _too_slow() -> HTTPException:
    return HTTPException(408, "The request took too long to arrive.")


def _at_most(receive: Receive) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BYTES:
            raise _too_large()
        return message

    return counted
