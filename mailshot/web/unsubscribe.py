"""The unsubscribe page of a mail, its one-click POST (RFC 8058), and the page of topics that it leads to.

Unsubscribing always works. The page of topics works only while the customer has the address that the mail went to.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mailshot.feedback import withdrawals
from mailshot.feedback.preference_controls import TOPICS_ONLY
from mailshot.store import privacy
from mailshot.store.engine import Connection
from mailshot.tokens import Purpose
from mailshot.web import forms, preference_form
from mailshot.web.preference_form import MailLink
from mailshot.web.site import token_of

#: What a mail program posts (RFC 8058 section 3.1).
FIELD, ONE_CLICK = "List-Unsubscribe", "One-Click"
#: The name of the button on the page.
BUTTON = "leave"


async def show_unsubscribe(request: Request) -> Response:
    """Show the topic with one button, or that the customer has unsubscribed already."""
    link = await _link(request)

    def query(connection: Connection) -> tuple[str | None, bool, bool]:
        topic = withdrawals.topic_of_mail(connection, link.run_id, link.customer_id)
        left = topic is not None and withdrawals.has_withdrawn(connection, link.customer_id, topic)
        return topic, left, _is_same_inbox(connection, link)

    return _shown(request, link, *await link.site.read(query))


async def unsubscribe(request: Request) -> Response:
    """Withdraw the consent at once, without cookie or redirect. Repeating it gives the same response."""
    link = await _link(request)
    posted = await forms.read_form(request)
    one_click = str(posted.get(FIELD, "")).strip().lower() == ONE_CLICK.lower()
    if not one_click and BUTTON not in posted:
        raise HTTPException(400, f"Send {FIELD}={ONE_CLICK} (RFC 8058).")
    proof = {"method": "one-click" if one_click else "page"}
    withdrawal = withdrawals.WithdrawalRequest(link.run_id, link.customer_id, link.site.clock(), proof=proof)

    def write(connection: Connection) -> tuple[str | None, bool, bool]:
        topic = withdrawals.withdraw(connection, withdrawal)
        return topic, True, _is_same_inbox(connection, link)

    return _shown(request, link, *await link.site.group.do(write))


async def show_topics(request: Request) -> Response:
    """Show all topics, and which of them the customer gets."""
    link = await _link(request)
    page = await preference_form.current_page(link, TOPICS_ONLY)
    values = preference_form.template_values(link, page)
    saved, url = "saved" in request.query_params, f"{_address(request)}/topics"
    return link.site.page(request, "topics.html", **values, saved=saved, url=url)


async def save_topics(request: Request) -> Response:
    """Save the topics, then redirect to them."""
    link = await _link(request)
    forms.reject_foreign(request)
    await preference_form.save_form(link, await forms.read_form(request), TOPICS_ONLY)
    return RedirectResponse(link.language.url(f"{_address(request)}/topics", saved=1), 303)


async def _link(request: Request) -> MailLink:
    return await preference_form.open_mail_link(request, Purpose.unsubscribe, 2, 3)


def _is_same_inbox(connection: Connection, link: MailLink) -> bool:
    person = privacy.person(connection, link.customer_id)
    return person is not None and link.reads(person)


def _shown(request: Request, link: MailLink, topic: str | None, left: bool, same_inbox: bool) -> Response:
    """Show the page. Raises 404 when the mail is unknown (`topic` is None)."""
    if topic is None:
        raise HTTPException(404)
    topics = link.site.settings.topics
    title = link.language.shop_text(topics.get(topic).title) if topic in topics else topic
    topics_url = f"{_address(request)}/topics" if same_inbox else ""
    return link.site.page(request, "unsubscribe.html", topic=title, left=left, button=BUTTON, topics=topics_url)


def _address(request: Request) -> str:
    return f"/u/{token_of(request)}"


# `:path` and `tail` accept what mail programs append to a link. The longer path must come first.
ROUTES = [
    Route("/u/{token}/topics{tail:path}", show_topics),
    Route("/u/{token}/topics{tail:path}", save_topics, methods=["POST"]),
    Route("/u/{token:path}", show_unsubscribe),
    Route("/u/{token:path}", unsubscribe, methods=["POST"]),
]
