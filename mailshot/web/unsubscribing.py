"""The page and the post of a mail's unsubscribe link (RFC 8058), and the page of topics that it leads to.

Leaving works for ever. The page of topics does so only while the customer has the address that the mail went to.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mailshot.feedback import stating, unsubscribing
from mailshot.feedback.wishes import TOPICS_ONLY
from mailshot.profile import address
from mailshot.store import dossier
from mailshot.store.engine import Connection
from mailshot.tokens import Purpose
from mailshot.web import forms, preference_form, site
from mailshot.web.preference_form import Page

FIELD, WORD = "List-Unsubscribe", "One-Click"
BUTTON = "leave"


async def page(request: Request) -> Response:
    """Show what would be left, with one button; who left already is shown just that."""
    run_id, customer_id, *mailbox = await site.ids(request, Purpose.unsubscribe, 2, 3)

    def look(connection: Connection) -> tuple[str | None, bool]:
        topic = unsubscribing.topic(connection, run_id, customer_id)
        return topic, topic is not None and unsubscribing.is_left(connection, customer_id, topic)

    topic, left = await site.of(request).read(look)
    if topic is None:
        raise HTTPException(404)
    return _shown(request, topic, left, await _is_same_inbox(request, customer_id, mailbox))


async def leave(request: Request) -> Response:
    """Withdraw the consent at once: no cookie, no redirect, the same answer however often it is asked."""
    run_id, customer_id, *mailbox = await site.ids(request, Purpose.unsubscribe, 2, 3)
    posted = await forms.read(request)
    one_click = str(posted.get(FIELD, "")).strip().lower() == WORD.lower()
    if not one_click and BUTTON not in posted:
        raise HTTPException(400, f"Send {FIELD}={WORD} (RFC 8058).")
    here = site.of(request)
    at, proof = here.clock(), {"method": "one-click" if one_click else "page"}
    topic = await here.group.do(lambda connection: unsubscribing.withdraw(connection, run_id, customer_id, at, proof))
    if topic is None:
        raise HTTPException(404)
    return _shown(request, topic, True, await _is_same_inbox(request, customer_id, mailbox))


async def topics(request: Request) -> Response:
    """Show the topics that a customer gets."""
    here, (_, customer_id) = site.of(request), await _ids(request)
    standing = await here.read(lambda connection: stating.standing(connection, customer_id))
    return _topics(request, preference_form.fresh(here, standing, TOPICS_ONLY))


async def save_topics(request: Request) -> Response:
    """Save the topics, then lead back to them."""
    here, (run_id, customer_id) = site.of(request), await _ids(request)
    forms.refuse_foreign(request)
    form = await forms.read(request)
    await preference_form.save(
        here, customer_id, run_id, form, TOPICS_ONLY, lambda connection: preference_form.known(connection, customer_id)
    )
    return RedirectResponse(f"{_address(request)}/topics?saved=1", 303)


async def _ids(request: Request) -> tuple[int, int]:
    """Return the run and customer of a mail. Raises 404 once the customer has another address than it went to."""
    run_id, customer_id, *mailbox = await site.ids(request, Purpose.unsubscribe, 2, 3)
    if not await _is_same_inbox(request, customer_id, mailbox):
        raise HTTPException(404)
    return run_id, customer_id


async def _is_same_inbox(request: Request, customer_id: int, mailbox: list[int]) -> bool:
    """Say whether the customer still has the address that a mail went to; links of old versions do not tell."""
    here = site.of(request)
    person = await here.read(lambda connection: dossier.person(connection, customer_id))
    known = person is not None and person.email
    return bool(mailbox and known) and here.keys.is_fingerprint(mailbox[0], address.mailbox(str(known)))


def _shown(request: Request, topic: str, left: bool, same_inbox: bool) -> Response:
    here = site.of(request)
    title = here.topics.get(topic).title if topic in here.topics else topic
    further = f"{_address(request)}/topics" if same_inbox else ""
    return here.page("unsubscribe.html", topic=title, left=left, button=BUTTON, topics=further)


def _topics(request: Request, shown: Page) -> Response:
    here = site.of(request)
    words = preference_form.words(here, shown)
    return here.page("topics.html", **words, saved="saved" in request.query_params, here=f"{_address(request)}/topics")


def _address(request: Request) -> str:
    return f"/u/{site.token(request)}"


# A path, for a slash glued to the link is no other page. The page below comes first, with a tail for the same.
ROUTES = [
    Route("/u/{token}/topics{tail:path}", topics),
    Route("/u/{token}/topics{tail:path}", save_topics, methods=["POST"]),
    Route("/u/{token:path}", page),
    Route("/u/{token:path}", leave, methods=["POST"]),
]
