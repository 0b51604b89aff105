"""Serves the pixel of a mail and redirects its links, only ever to a stored address."""

from __future__ import annotations

from base64 import b64decode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailshot.feedback.tracking import Fetch
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
    await _record(request, run_id, customer_id)
    return _pixel()


async def redirect_click(request: Request) -> Response:
    """Redirect to the link's stored address, with the run's UTM parameters, once the click is on disk.

    The hidden link, whose token has no number of a link, leads nowhere: a browser stays where it is.
    """
    run_id, customer_id, *link_ids = await verified_ids(request, Purpose.click, 2, 3)
    if not link_ids:
        await _record(request, run_id, customer_id, is_hidden=True)
        return Response(status_code=204, headers=UNSTORED)
    url = await _record(request, run_id, customer_id, link_ids[0])
    if url is None:
        raise HTTPException(404)
    return Response(status_code=302, headers={**UNSTORED, "Location": url})


async def _record(
    request: Request, run_id: int, customer_id: int, link_id: int | None = None, is_hidden: bool = False
) -> str | None:
    site, headers = site_of(request), request.headers
    purpose = " ".join(headers.get(name, "") for name in ("sec-purpose", "purpose", "x-purpose", "x-moz"))
    prefetch = "prefetch" in purpose or "preview" in purpose
    agent = headers.get("user-agent", "")
    fetch = Fetch(run_id, customer_id, site.clock(), request.method, agent, prefetch, link_id, is_hidden)
    return await site.group.do_together(site.record_fetches, fetch)


def _pixel() -> Response:
    return Response(PIXEL, media_type="image/gif", headers=UNSTORED)


ROUTES = [Route("/o/{token:path}", serve_pixel), Route("/c/{token:path}", redirect_click)]
