"""The web pages of the inbox: the list of mails, one mail in several views, and the same as JSON for scripts."""

from __future__ import annotations

import asyncio
import http.client
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from mailshot.errors import Refused
from mailshot.inbox import message
from mailshot.inbox.mailbox import CaughtMail, Mailbox
from mailshot.inbox.message import CaughtMessage
from mailshot.web import forms, static_files
from mailshot.web.page_templates import PageTemplates
from mailshot.web.security_headers import SecurityHeaders, server_error

HERE = Path(__file__).parent
PAGES = PageTemplates(HERE / "templates")
MAILS_PER_PAGE = 50
#: Mails of one answer to a script.
MAX_MAILS = 1000
VIEWS = ("html", "text", "links", "source")
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}
LOOPBACK_SOURCES = "http://127.0.0.1:* http://localhost:* https://127.0.0.1:* https://localhost:*"
#: For the mail in its frame: no scripts, and images from this machine only.
FRAME_HEADERS = {
    "Content-Security-Policy": "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    f"style-src 'unsafe-inline'; img-src data: {LOOPBACK_SOURCES}; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
}
#: The body that a mail program posts to unsubscribe (RFC 8058).
ONE_CLICK_BODY = "List-Unsubscribe=One-Click"
ONE_CLICK_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Mailshot inbox"}
ONE_CLICK_SECONDS = 10.0


def create_app(box: Mailbox) -> Starlette:
    """Return the site that shows the mails of a box."""
    app = Starlette(
        routes=[
            Route("/", list_mails),
            Route("/empty", delete_all, methods=["POST"]),
            Route("/mail/{id}", show_mail),
            Route("/mail/{id}/html", show_html),
            Route("/mail/{id}/part", show_image),
            Route("/mail/{id}/unsubscribe", unsubscribe_one_click, methods=["POST"]),
            Route("/api/mails", api_mails),
            Route("/api/mails", api_delete_all, methods=["DELETE"]),
            Route("/api/mails/{id}", api_mail),
            *static_files.routes(),
            *static_files.routes(HERE / "static"),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={Exception: server_error},
    )
    app.state.box = box
    return app


async def list_mails(request: Request) -> Response:
    """Show the newest mails, or those that contain the search text."""
    _require_local_host(request)
    search, page = request.query_params.get("search", "").strip(), _number(request, "page", 1)
    skip = (page - 1) * MAILS_PER_PAGE
    mails, total = await asyncio.to_thread(_box(request).newest, search, skip, MAILS_PER_PAGE)
    return _page(
        "list.html",
        mails=mails,
        total=total,
        search=search,
        page=page,
        pages=max(1, -(-total // MAILS_PER_PAGE)),
        first=skip + 1,
        last=min(page * MAILS_PER_PAGE, total),
        link=lambda number: _list_url(search, number),
    )


async def show_mail(request: Request) -> Response:
    """Show one mail as HTML (wide or narrow), text, links or source."""
    mail = await _message(request)
    view = request.query_params.get("view", "html" if mail.html is not None else "text")
    return _page(
        "mail.html",
        mail=mail,
        id=request.path_params["id"],
        view=view if view in VIEWS else "source",
        narrow=request.query_params.get("width") == "phone",
        status=request.query_params.get("status"),
        reason=request.query_params.get("reason", ""),
    )


async def show_html(request: Request) -> Response:
    """Return the HTML part, for the frame."""
    mail = await _message(request)
    content = mail.page(f"/mail/{request.path_params['id']}/part?id=")
    return Response(content, media_type="text/html", headers=FRAME_HEADERS)


async def show_image(request: Request) -> Response:
    """Return one inline image."""
    part = (await _message(request)).part(request.query_params.get("id", ""))
    if part is None:
        raise HTTPException(404)
    media_type, content = part
    return Response(content, media_type=media_type, headers=FRAME_HEADERS)


async def unsubscribe_one_click(request: Request) -> Response:
    """Unsubscribe as a mail program would, and show how the sender's server responded."""
    forms.reject_foreign(request)
    url = (await _message(request)).one_click
    if url is None:
        raise HTTPException(404)
    status, reason = await asyncio.to_thread(post_one_click, url)
    query = urlencode({"status": status, "reason": reason})
    return RedirectResponse(f"/mail/{request.path_params['id']}?{query}", 303)


async def delete_all(request: Request) -> Response:
    """Delete all mails, then show the empty list."""
    await api_delete_all(request)
    return RedirectResponse("/", 303)


async def api_mails(request: Request) -> Response:
    """List mails for scripts, oldest first: those after `after`, at most `most`."""
    _require_local_host(request)
    after, most = request.query_params.get("after", ""), min(_number(request, "most", MAX_MAILS), MAX_MAILS)
    mails = await asyncio.to_thread(_box(request).after, after, most)
    return JSONResponse({"mails": [_as_json(mail) for mail in mails], "total": len(_box(request))})


async def api_mail(request: Request) -> Response:
    """Return one mail for scripts: its headers, parts, links and source."""
    mail = await _message(request)
    html = mail.html.decode() if mail.html is not None else None
    parts = {"html": html, "text": mail.text, "links": [url for _, url in mail.links], "source": mail.source}
    return JSONResponse({"id": request.path_params["id"], "headers": mail.headers, **parts})


async def api_delete_all(request: Request) -> Response:
    """Delete all mails; return how many there were."""
    _require_local_host(request)
    forms.reject_foreign(request)
    return JSONResponse({"removed": await asyncio.to_thread(_box(request).empty)})


def _box(request: Request) -> Mailbox:
    box: Mailbox = request.app.state.box
    return box


async def _message(request: Request) -> CaughtMessage:
    """Return the mail in the path. Raises 404."""
    _require_local_host(request)
    raw = await asyncio.to_thread(_box(request).read, request.path_params["id"])
    if raw is None:
        raise HTTPException(404)
    return await asyncio.to_thread(CaughtMessage, raw)


def _require_local_host(request: Request) -> None:
    """Reject other names in Host: a page elsewhere could point its own name at this machine (DNS rebinding)."""
    if not message.is_local(f"http://{request.headers.get('host', '')}"):
        raise HTTPException(421, "The inbox answers to this machine only.")


def post_one_click(url: str) -> tuple[int, str]:
    """Unsubscribe as a mail program does, without following redirects; return HTTP status and reason.

    The status is 0 when the server cannot be reached. Raises Refused for an address that is not on this machine.
    """
    if not message.is_local(url):
        raise Refused("The inbox posts to addresses on this machine only.")
    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(str(parts.hostname), parts.port, timeout=ONE_CLICK_SECONDS)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, ONE_CLICK_BODY, ONE_CLICK_HEADERS)
        response = connection.getresponse()
        return response.status, response.reason
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        connection.close()


def _page(template: str, **values: Any) -> Response:
    return HTMLResponse(PAGES.render(template, **values), headers=PAGE_HEADERS)


def _as_json(mail: CaughtMail) -> dict[str, str]:
    return {
        "id": mail.id,
        "at": mail.at.isoformat(),
        "from": mail.sender,
        "to": mail.to,
        "subject": mail.subject,
    }


def _number(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, "")
    return max(1, int(value)) if value.isdecimal() and len(value) < 10 else default


def _list_url(search: str, page: int) -> str:
    return "/?" + urlencode({**({"search": search} if search else {}), "page": page})
