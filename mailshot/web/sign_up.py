"""The public sign-up form, for visitors whom no mail has reached: asked for by POST, confirmed by the link in one mail.

The response never depends on whether the address is known. Other sites may post the form: it does nothing but
ask for one mail, which is limited by address, by visitor and in total. Nothing changes by GET, so a scanner that
follows the link confirms nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mailshot.feedback import sign_up
from mailshot.feedback.sign_up import ConfirmationRequest, SignUpRequest
from mailshot.profile import address
from mailshot.profile.address import Address
from mailshot.profile.topics import Topic
from mailshot.store import sign_ups
from mailshot.store.sign_ups import SignUp
from mailshot.tokens import Purpose
from mailshot.web import connections, forms
from mailshot.web.site import Site, choose_language, language_of, site_of, verified_ids

PATH = "/signup"
#: A field that people do not see: only machines fill it in.
TRAP = "website"
#: How old the form may be when it is sent.
FORM_VALID = timedelta(days=1)
MAX_FORM_NAME, MAX_TOPICS = 40, 50
UNPROCESSABLE = 422


@dataclass(frozen=True, slots=True)
class Posted:
    """A form as it was sent, not checked yet. `page_token` says when our own page was shown, "" from other pages."""

    email: str = ""
    topics: Sequence[str] = ()
    form: str = ""
    page_token: str = ""
    trap: str = ""
    #: By the control they belong to: what is wrong, in the language of the visitor.
    problems: Sequence[tuple[str, str]] = field(default=())


async def show_form(request: Request) -> Response:
    """Show the form; `topic` and `form` in the query choose a topic and name the form."""
    _counted(request)
    query = request.query_params
    return _form(request, Posted(topics=query.getlist("topic"), form=query.get("form", "")))


async def take_form(request: Request) -> Response:
    """Take a sign-up, posted as a form or as JSON, by our own page or another one."""
    site = _counted(request)
    as_json = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    posted = await (_read_json(request) if as_json else _read_form(request))
    topics = [topic.name for topic in _public_topics(site) if topic.name in posted.topics]
    problems = _problems(request, posted, topics)
    if problems:
        if as_json:
            return JSONResponse({"errors": [{"field": name, "error": why} for name, why in problems]}, UNPROCESSABLE)
        return _form(request, Posted(posted.email, posted.topics, posted.form, problems=problems))
    if not posted.trap:
        await _ask(request, posted, topics)
    if as_json:
        return JSONResponse({"status": "A mail with a link is on its way, if we may write to this address."}, 202)
    return site.page(request, "sign_up_asked.html")


async def _ask(request: Request, posted: Posted, topics: Sequence[str]) -> None:
    site, settings = site_of(request), site_of(request).settings
    parsed_address = address.normalise(posted.email)
    assert isinstance(parsed_address, Address)
    visitor_request = SignUpRequest(
        email=parsed_address.email,
        topics=topics,
        form="".join(filter(str.isprintable, posted.form))[:MAX_FORM_NAME],
        language=language_of(request).tag,
        client=_client(request),
        sender=settings.sign_up.sender or {},
    )
    at, limits = site.clock(), settings.sign_up.limits
    if not await site.group.do(
        lambda connection: sign_up.ask(connection, visitor_request, settings.address_key, limits, at)
    ):
        raise HTTPException(429, "Too many sign-ups. Please try again in an hour.", {"Retry-After": "3600"})


async def show_confirmation(request: Request) -> Response:
    """Show what the visitor asked for, with the button that confirms it."""
    sign_up_id, mailbox = await verified_ids(request, Purpose.signup, 2)
    site, since = site_of(request), site_of(request).clock() - site_of(request).settings.sign_up.valid
    stored_sign_up = _public_part(
        site, await site.read(lambda connection: sign_ups.find(connection, sign_up_id, mailbox, since))
    )
    done = stored_sign_up is not None and stored_sign_up.confirmed_at is not None
    return _confirmation(request, stored_sign_up, done)


async def confirm(request: Request) -> Response:
    """Record the consents. Repeating it gives the same response."""
    sign_up_id, mailbox = await verified_ids(request, Purpose.signup, 2)
    forms.reject_foreign(request)
    await forms.read_form(request)
    site, now = site_of(request), site_of(request).clock()
    valid, since = site.settings.sign_up.valid, now - site.settings.sign_up.valid
    stored_sign_up = _public_part(
        site, await site.read(lambda connection: sign_ups.find(connection, sign_up_id, mailbox, since))
    )
    if stored_sign_up is not None:
        choose_language(request, stored_sign_up.language)
        confirmation = ConfirmationRequest(
            sign_up_id, mailbox, stored_sign_up.topics, _wording(request, stored_sign_up), now
        )
        stored_sign_up = _public_part(
            site, await site.group.do(lambda connection: sign_up.confirm(connection, confirmation, valid))
        )
    return _confirmation(request, stored_sign_up, done=True)


def _public_part(site: Site, asked: SignUp | None) -> SignUp | None:
    """Return a sign-up with those of its topics that are still public, None without any."""
    public = {topic.name for topic in _public_topics(site)}
    if asked is None or public.isdisjoint(asked.topics):
        return None
    asked.topics = [name for name in asked.topics if name in public]
    return asked


def _confirmation(request: Request, stored_sign_up: SignUp | None, done: bool) -> Response:
    site = site_of(request)
    if stored_sign_up is None:
        return site.page(request, "sign_up_ended.html", 410)
    choose_language(request, stored_sign_up.language)
    titles, wording = _titles(request, stored_sign_up), _wording(request, stored_sign_up)
    return site.page(request, "sign_up_confirm.html", done=done, titles=titles, wording=wording)


def _wording(request: Request, stored_sign_up: SignUp) -> str:
    """Return the words that a visitor agrees to, which the log of consent keeps."""
    brand = site_of(request).settings.brand
    return language_of(request).gettext(
        "%(brand)s may write to me about %(titles)s. I can unsubscribe at any time.",
        brand=brand,
        titles=_titles(request, stored_sign_up),
    )


def _titles(request: Request, stored_sign_up: SignUp) -> str:
    topics = site_of(request).settings.topics
    return language_of(request).quoted(
        topics.get(name).title if name in topics else name for name in stored_sign_up.topics
    )


def _problems(request: Request, posted: Posted, topics: Sequence[str]) -> list[tuple[str, str]]:
    """Return what keeps a sign-up from being taken, by control; nothing depends on who has the address."""
    site, gettext = site_of(request), language_of(request).gettext
    parsed_address = address.normalise(posted.email) if posted.email.isprintable() else None
    problems = []
    if not isinstance(parsed_address, Address) or parsed_address.smtputf8:
        problems.append(("email", gettext("Please enter an e-mail address that we can write to.")))
    if not topics:
        problems.append(("topic", gettext("Please choose at least one topic.")))
    if posted.page_token and not _is_in_time(site, posted.page_token):
        problems.append(("email", gettext("Please check your entries, and send the form once more.")))
    return problems


def _is_in_time(site: Site, page_token: str) -> bool:
    """Return whether our page was shown long enough for a person to fill it in, and not too long ago."""
    ids = site.keys.verify(Purpose.signup, page_token)
    if ids is None or len(ids) != 1:
        return False
    age = site.clock() - datetime.fromtimestamp(ids[0], site.clock().tzinfo)
    return site.settings.sign_up.least_age <= age <= FORM_VALID


def _form(request: Request, posted: Posted) -> Response:
    site, topics = site_of(request), _public_topics(site_of(request))
    chosen = {topic.name for topic in topics if topic.name in posted.topics or len(topics) == 1}
    return site.page(
        request,
        "sign_up.html",
        UNPROCESSABLE if posted.problems else 200,
        topics=topics,
        chosen=chosen,
        email=posted.email,
        form=posted.form[:MAX_FORM_NAME],
        problems=posted.problems,
        trap=TRAP,
        shown=site.keys.sign(Purpose.signup, int(site.clock().timestamp())),
    )


async def _read_form(request: Request) -> Posted:
    form = await forms.read_form(request)
    texts = {name: str(form.get(name, "")) for name in ("email", "form", "shown", TRAP, "lang")}
    _choose_form_language(request, texts["lang"])
    return Posted(
        texts["email"].strip(),
        [str(topic) for topic in form.getlist("topic")][:MAX_TOPICS],
        texts["form"],
        texts["shown"],
        texts[TRAP],
    )


async def _read_json(request: Request) -> Posted:
    try:
        body = json.loads(await forms.read_body(request))
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not JSON.") from None
    if not isinstance(body, Mapping):
        raise HTTPException(400, "The body must be an object.")
    topics = body.get("topics", [])
    _choose_form_language(request, _text(body, "language"))
    return Posted(
        _text(body, "email").strip(),
        [name for name in topics if isinstance(name, str)][:MAX_TOPICS] if isinstance(topics, list) else [],
        _text(body, "form"),
        trap=_text(body, TRAP),
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    # A database does not store half of a surrogate pair.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _choose_form_language(request: Request, tag: str) -> None:
    """Answer in the language that the form names, if it is one of ours."""
    choose_language(request, tag or None)


def _public_topics(site: Site) -> list[Topic]:
    return [topic for topic in site.settings.topics if topic.public]


def _client(request: Request) -> str:
    return connections.client(request.client.host) if request.client else ""


def _counted(request: Request) -> Site:
    """Return the site after counting the request. Raises 404 where visitors cannot sign up for anything."""
    site = site_of(request)
    if site.settings.sign_up.sender is None or not _public_topics(site):
        raise HTTPException(404)
    site.settings.limits.count_request(site.settings.limits.pages, "address", _client(request))
    return site


ROUTES = [
    Route(PATH, show_form),
    Route(PATH, take_form, methods=["POST"]),
    Route(f"{PATH}/confirm/{{token:path}}", show_confirmation),
    Route(f"{PATH}/confirm/{{token:path}}", confirm, methods=["POST"]),
]
