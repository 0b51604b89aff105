"""Owns the answers to a mail's pixel and links; refuses to redirect anywhere but to a stored address."""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailshot.feedback import tracking
from mailshot.tokens import Purpose
from mailshot.web import site

PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
UNSTORED = {"Cache-Control": "no-store, private, max-age=0"}


async def opened(request: Request) -> Response:
    """Answer with a transparent pixel of 43 bytes once the open is on disk."""
    try:
        run_id, customer_id = await site.ids(request, Purpose.open, 2)
    except site.TestMailLink:
        return _pixel()
    fetch = _fetch(request, run_id, customer_id, site.of(request).clock())
    await site.of(request).group.do(lambda connection: tracking.opened(connection, fetch))
    return _pixel()


async def clicked(request: Request) -> Response:
    """Send the customer on to the link's stored address once the click is on disk."""
    run_id, customer_id, link_id = await site.ids(request, Purpose.click, 3)
    fetch = _fetch(request, run_id, customer_id, site.of(request).clock())
    url = await site.of(request).group.do(lambda connection: tracking.clicked(connection, fetch, link_id))
    if url is None:
        raise HTTPException(404)
    return Response(status_code=302, headers={**UNSTORED, "Location": url})


def _pixel() -> Response:
    return Response(PIXEL, media_type="image/gif", headers=UNSTORED)


def _fetch(request: Request, run_id: int, customer_id: int, at: datetime) -> tracking.Fetch:
    head = request.headers
    purpose = " ".join(head.get(name, "") for name in ("sec-purpose", "purpose", "x-purpose", "x-moz"))
    ahead = "prefetch" in purpose or "preview" in purpose
    return tracking.Fetch(run_id, customer_id, at, request.method, head.get("user-agent", ""), ahead)


ROUTES = [Route("/o/{token:path}", opened), Route("/c/{token:path}", clicked)]
