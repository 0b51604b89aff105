"""Serves the pixel of a mail and redirects its links, only ever to a stored address."""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailshot.feedback import tracking
from mailshot.tokens import Purpose
from mailshot.web.site import TestMailLink, site_of, verified_ids

PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
UNSTORED = {"Cache-Control": "no-store, private, max-age=0"}


async def serve_pixel(request: Request) -> Response:
    """Return a transparent pixel of 43 bytes once the open is on disk."""
    try:
        run_id, customer_id = await verified_ids(request, Purpose.open, 2)
    except TestMailLink:
        return _pixel()
    fetch = _fetch(request, run_id, customer_id, site_of(request).clock())
    await site_of(request).group.do(lambda connection: tracking.record_open(connection, fetch))
    return _pixel()


async def redirect_click(request: Request) -> Response:
    """Redirect to the link's stored address, with the run's UTM parameters, once the click is on disk.

    The hidden link, whose token has no number of a link, leads nowhere: a browser stays where it is.
    """
    run_id, customer_id, *numbers = await verified_ids(request, Purpose.click, 2, 3)
    site = site_of(request)
    fetch = _fetch(request, run_id, customer_id, site.clock())
    if not numbers:
        await site.group.do(lambda connection: tracking.record_hidden_link(connection, fetch))
        return Response(status_code=204, headers=UNSTORED)
    link_id = numbers[0]
    url = await site.group.do(lambda connection: tracking.record_click(connection, fetch, link_id, site.run_parameters))
    if url is None:
        raise HTTPException(404)
    return Response(status_code=302, headers={**UNSTORED, "Location": url})


def _pixel() -> Response:
    return Response(PIXEL, media_type="image/gif", headers=UNSTORED)


def _fetch(request: Request, run_id: int, customer_id: int, at: datetime) -> tracking.Fetch:
    headers = request.headers
    purpose = " ".join(headers.get(name, "") for name in ("sec-purpose", "purpose", "x-purpose", "x-moz"))
    prefetch = "prefetch" in purpose or "preview" in purpose
    return tracking.Fetch(run_id, customer_id, at, request.method, headers.get("user-agent", ""), prefetch)


ROUTES = [Route("/o/{token:path}", serve_pixel), Route("/c/{token:path}", redirect_click)]
