"""The page and the post of a mail's unsubscribe link (RFC 8058), and the page of topics that it leads to.

Leaving works for ever. The page of topics does so only while the customer has the address that the mail went to.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mailshot.feedback import preferences
from mailshot.feedback.preferences import TOPICS_ONLY
from mailshot.store import privacy
from mailshot.store.engine import Connection
from mailshot.tokens import Purpose
from mailshot.web import forms, preference_form, site
from mailshot.web.preference_form import MailLink, Page

FIELD, WORD = "List-Unsubscribe", "One-Click"
BUTTON = "leave"


async def page(request: Request) -> Response:
    """Show what would be left, with one button; who left already is shown just that."""
    link = await _link(request)

    def look(connection: Connection) -> tuple[str | None, bool, bool]:
        topic = preferences.topic(connection, link.run_id, link.customer_id)
        left = topic is not None and preferences.is_left(connection, link.customer_id, topic)
        return topic, left, _is_same_inbox(connection, link)

    return _shown(request, *await link.here.read(look))


async def unsubscribe(request: Request) -> Response:
    """Withdraw the consent at once: no cookie, no redirect, the same answer however often it is asked."""
    link = await _link(request)
    posted = await forms.read(request)
    one_click = str(posted.get(FIELD, "")).strip().lower() == WORD.lower()
    if not one_click and BUTTON not in posted:
        raise HTTPException(400, f"Send {FIELD}={WORD} (RFC 8058).")
    at, proof = link.here.clock(), {"method": "one-click" if one_click else "page"}

    def apply(connection: Connection) -> tuple[str | None, bool, bool]:
        topic = preferences.withdraw(connection, link.run_id, link.customer_id, at, proof)
        return topic, True, _is_same_inbox(connection, link)

    return _shown(request, *await link.here.group.do(apply))


async def topics(request: Request) -> Response:
    """Show the topics that a customer gets."""
    return _topics(request, await preference_form.fresh(await _link(request), TOPICS_ONLY))


async def save_topics(request: Request) -> Response:
    """Save the topics, then lead back to them."""
    link = await _link(request)
    forms.refuse_foreign(request)
    await preference_form.save(link, await forms.read(request), TOPICS_ONLY)
    return RedirectResponse(f"{_address(request)}/topics?saved=1", 303)


async def _link(request: Request) -> MailLink:
    run_id, customer_id, *mailbox = await site.ids(request, Purpose.unsubscribe, 2, 3)
    return MailLink(site.of(request), run_id, customer_id, sum(mailbox))


def _is_same_inbox(connection: Connection, link: MailLink) -> bool:
    person = privacy.person(connection, link.customer_id)
    return person is not None and link.reads(person)


def _shown(request: Request, topic: str | None, left: bool, same_inbox: bool) -> Response:
    """Show the page. Raises 404 where the mail is unknown (no `topic`)."""
    if topic is None:
        raise HTTPException(404)
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
    Route("/u/{token:path}", unsubscribe, methods=["POST"]),
]
