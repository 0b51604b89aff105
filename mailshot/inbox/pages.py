"""Owns the post that a mail client makes to unsubscribe (RFC 8058); refuses any address that is not on this machine."""

from __future__ import annotations

import asyncio
import http.client
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
from mailshot.inbox.message import Letter, local
from mailshot.web import forms, page_templates, static_files
from mailshot.web.security_headers import SecurityHeaders, failed

BODY = "List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Mailshot inbox"}
LONGEST = 10.0  # seconds


def post(url: str) -> tuple[int, str]:
    """Post to a List-Unsubscribe address and return status and reason; no redirect is followed. Raises Refused."""
    if not local(url):
        raise Refused("The inbox posts to addresses on this machine only.")
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(parts.hostname), parts.port, timeout=LONGEST)
    try:
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), BODY, FORM)
        answer = connection.getresponse()
        return answer.status, answer.reason
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        connection.close()


PAGE = 50
VIEWS = ("html", "text", "links", "source")
OURS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}
HERE = "http://127.0.0.1:* http://localhost:* https://127.0.0.1:* https://localhost:*"
FRAMED = {
    "Content-Security-Policy": "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    f"style-src 'unsafe-inline'; img-src data: {HERE}; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
}


def build(box: Mailbox) -> Starlette:
    """Return the site that shows a box of mails."""
    app = Starlette(
        routes=[
            Route("/", everything),
            Route("/empty", empty, methods=["POST"]),
            Route("/mail/{id}", one),
            Route("/mail/{id}/html", framed),
            Route("/mail/{id}/part", part),
            Route("/mail/{id}/unsubscribe", unsubscribe, methods=["POST"]),
            Route("/api/mails", api_mails),
            Route("/api/mails", api_empty, methods=["DELETE"]),
            Route("/api/mails/{id}", api_mail),
            *static_files.routes(),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={Exception: failed},
    )
    app.state.box = box
    return app


async def everything(request: Request) -> Response:
    """Show the newest mails, or those that hold what is searched."""
    _only_here(request)
    search, page = request.query_params.get("search", "").strip(), _number(request, "page", 1)
    mails, total = await asyncio.to_thread(_box(request).newest, search, (page - 1) * PAGE, PAGE)
    pages = max(1, -(-total // PAGE))
    last = min(page * PAGE, total)
    words = {"mails": mails, "total": total, "search": search, "page": page, "pages": pages, "last": last}
    return _page("inbox/list.html", **words, first=(page - 1) * PAGE + 1, link=lambda n: _query(search, n))


async def one(request: Request) -> Response:
    """Show one mail, as HTML (wide or narrow), text, links or source."""
    mail_id, shown = request.path_params["id"], await _letter(request)
    view = request.query_params.get("view", "html" if shown.html is not None else "text")
    narrow = request.query_params.get("width") == "phone"
    told = {"told": request.query_params.get("told"), "why": request.query_params.get("why", "")}
    words = {"letter": shown, "view": view if view in VIEWS else "source", "narrow": narrow, "id": mail_id}
    return _page("inbox/mail.html", **words, **told)


async def framed(request: Request) -> Response:
    """Give the HTML part to the frame."""
    shown = await _letter(request)
    content = shown.page(f"/mail/{request.path_params['id']}/part?id=")
    return Response(content, media_type="text/html", headers=FRAMED)


async def part(request: Request) -> Response:
    """Give one inline image."""
    found = (await _letter(request)).part(request.query_params.get("id", ""))
    if found is None:
        raise HTTPException(404)
    return Response(found[1], media_type=found[0], headers=FRAMED)


async def unsubscribe(request: Request) -> Response:
    """Unsubscribe as a mail client would, and say what the sender answered."""
    forms.refuse_foreign(request)
    url = (await _letter(request)).one_click
    if url is None:
        raise HTTPException(404)
    status, why = await asyncio.to_thread(post, url)
    return RedirectResponse(f"/mail/{request.path_params['id']}?{urlencode({'told': status, 'why': why})}", 303)


async def empty(request: Request) -> Response:
    """Remove all mails, then show the empty list."""
    await api_empty(request)
    return RedirectResponse("/", 303)


async def api_mails(request: Request) -> Response:
    """List mails for scripts, oldest first: those after `after`, at most `most` (1000)."""
    _only_here(request)
    after, most = request.query_params.get("after", ""), min(_number(request, "most", 1000), 1000)
    mails = await asyncio.to_thread(_box(request).after, after, most)
    return JSONResponse({"mails": [_told(mail) for mail in mails], "total": len(_box(request))})


async def api_mail(request: Request) -> Response:
    """Give one mail for scripts: its parts, links and whole source."""
    shown = await _letter(request)
    html = shown.html.decode() if shown.html is not None else None
    parts = {"html": html, "text": shown.text, "links": [url for _, url in shown.links], "source": shown.source}
    return JSONResponse({"id": request.path_params["id"], "headers": shown.headers, **parts})


async def api_empty(request: Request) -> Response:
    """Remove all mails."""
    _only_here(request)
    forms.refuse_foreign(request)
    return JSONResponse({"removed": await asyncio.to_thread(_box(request).empty)})


def _box(request: Request) -> Mailbox:
    box: Mailbox = request.app.state.box
    return box


async def _letter(request: Request) -> Letter:
    _only_here(request)
    raw = await asyncio.to_thread(_box(request).read, request.path_params["id"])
    if raw is None:
        raise HTTPException(404)
    return await asyncio.to_thread(Letter, raw)


def _only_here(request: Request) -> None:
    """Refuse a foreign name in Host: a page elsewhere could point its own name at this machine."""
    if not message.local(f"http://{request.headers.get('host', '')}"):
        raise HTTPException(421, "The inbox answers to this machine only.")


def _page(name: str, **words: Any) -> Response:
    return HTMLResponse(page_templates.render(name, **words), headers=OURS)


def _told(mail: CaughtMail) -> dict[str, str]:
    told = {"from": mail.sender, "to": mail.to, "subject": mail.subject}
    return {"id": mail.id, "at": mail.at.isoformat(), **told}


def _number(request: Request, name: str, otherwise: int) -> int:
    given = request.query_params.get(name, "")
    return max(1, int(given)) if given.isdecimal() and len(given) < 10 else otherwise


def _query(search: str, page: int) -> str:
    return "/?" + urlencode({**({"search": search} if search else {}), "page": page})
