"""Owns the page and the post of a mail's unsubscribe link (RFC 8058); refuses to change anything on a GET."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailshot.feedback import unsubscribing
from mailshot.store.engine import Connection
from mailshot.tokens import Purpose
from mailshot.web import forms, site

FIELD, WORD = "List-Unsubscribe", "One-Click"
BUTTON = "leave"


async def page(request: Request) -> Response:
    """Show what would be left, with one button; who left already is shown just that."""
    run_id, customer_id = await site.ids(request, Purpose.unsubscribe, 2)

    def look(connection: Connection) -> tuple[str | None, bool]:
        topic = unsubscribing.topic(connection, run_id, customer_id)
        return topic, topic is not None and unsubscribing.is_left(connection, customer_id, topic)

    topic, left = await site.of(request).read(look)
    if topic is None:
        raise HTTPException(404)
    return _shown(request, customer_id, topic, left)


async def leave(request: Request) -> Response:
    """Withdraw the consent at once: no cookie, no redirect, the same answer however often it is asked."""
    run_id, customer_id = await site.ids(request, Purpose.unsubscribe, 2)
    posted = await forms.read(request)
    one_click = str(posted.get(FIELD, "")).strip().lower() == WORD.lower()
    if not one_click and BUTTON not in posted:
        raise HTTPException(400, f"Send {FIELD}={WORD} (RFC 8058).")
    here = site.of(request)
    at, proof = here.clock(), {"method": "one-click" if one_click else "page"}
    topic = await here.group.do(lambda connection: unsubscribing.withdraw(connection, run_id, customer_id, at, proof))
    if topic is None:
        raise HTTPException(404)
    return _shown(request, customer_id, topic, left=True)


def _shown(request: Request, customer_id: int, topic: str, left: bool) -> Response:
    here = site.of(request)
    title = here.topics.get(topic).title if topic in here.topics else topic
    preferences = here.keys.mint(Purpose.preferences, customer_id)
    return here.page("unsubscribe.html", topic=title, left=left, button=BUTTON, preferences=f"/p/{preferences}")


# A path, for a slash glued to the link is no other page.
ROUTES = [Route("/u/{token:path}", page), Route("/u/{token:path}", leave, methods=["POST"])]
