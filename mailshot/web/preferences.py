"""Owns the preference page and its saving; refuses to know what a topic, question or trait is about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mailshot.feedback import stating, wishes
from mailshot.profile import locales, zones
from mailshot.profile.comparison import Value, show
from mailshot.profile.implications import decided
from mailshot.store import dossier, profiles
from mailshot.store.engine import Connection
from mailshot.store.preferences import Inferred
from mailshot.tokens import Purpose
from mailshot.web import forms, site
from mailshot.web.site import Site

SHOWN = "shown"
READABLE = {"country": locales.country, "language": locales.language_name}
SURE = ((0.99, "We are almost certain"), (0.9, "We are fairly sure"), (0.7, "We think so"), (0.0, "It is only a guess"))
SEVEREST = 422
# The pages below this one (see erasing): a form posted there is never one of preferences.
_BELOW = re.compile(r"/(export|erase)")


@dataclass(frozen=True, slots=True)
class Card:
    """One conclusion as the page shows it. `answer` says which statement of the customer settles it, if one does."""

    control: str
    label: str
    words: str
    sure: str
    answer: str
    share: int = field(default=0)


async def page(request: Request) -> Response:
    """Show how the customer stands."""
    here, customer_id = site.of(request), (await site.ids(request, Purpose.preferences, 1, 2))[0]
    person, standing = await here.read(lambda connection: _look(connection, customer_id))
    shown = wishes.controls(standing, here.topics, here.statements)
    return await _shown(request, person, standing, shown, shown, [])


async def save(request: Request) -> Response:
    """Save everything at once, then lead back to the page."""
    if _BELOW.search(request.path_params["token"]):
        raise HTTPException(405)
    here, (customer_id, *runs) = site.of(request), await site.ids(request, Purpose.preferences, 1, 2)
    forms.refuse_foreign(request)
    form = await forms.read(request)
    person, standing = await here.read(lambda connection: _look(connection, customer_id))
    posted, shown = _posted(form), _was_shown(form)
    if shown is None:
        shown = wishes.controls(standing, here.topics, here.statements)
    made = wishes.wishes(posted, shown, standing, here.topics, here.statements)
    if made.problems:
        return await _shown(request, person, standing, posted, shown, made.problems)
    at, run_id = here.clock(), runs[0] if runs else None
    await here.group.do(
        lambda connection: stating.save(connection, customer_id, run_id, made, here.topics, here.statements, at)
    )
    return RedirectResponse(f"/p/{site.token(request)}?saved=1", 303)


def _look(connection: Connection, customer_id: int) -> tuple[dossier.Person, wishes.Standing]:
    person = dossier.person(connection, customer_id)
    if person is None:
        raise HTTPException(404)
    if person.erased:
        raise HTTPException(410)
    return person, stating.standing(connection, customer_id)


def _posted(form: FormData) -> wishes.Controls:
    names = (name for name in form if name != SHOWN)
    return {name: tuple(str(word) for word in form.getlist(name)) for name in names}


def _was_shown(form: FormData) -> wishes.Controls | None:
    """Return what the posted page had shown, None when it does not say so (or not readably)."""
    try:
        told = json.loads(str(form[SHOWN]))
        return {str(name): tuple(map(str, words)) for name, words in told.items()}
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        return None


async def _shown(
    request: Request,
    person: dossier.Person,
    standing: wishes.Standing,
    held: wishes.Controls,
    shown: wishes.Controls,
    problems: list[str],
) -> Response:
    here = site.of(request)
    held_facts = await here.read(lambda connection: profiles.many(connection, [person.customer_id]))
    words: dict[str, Any] = {
        "person": person,
        "topics": [(wishes.TOPIC + topic.name, topic) for topic in here.topics],
        "questions": [(wishes.SAY + question.name, question) for question in here.statements],
        "cards": _cards(here, standing),
        "facts": list(_facts(here, held_facts.get(person.customer_id, {}))),
        "tracking": stating.TRACKING_TOPIC,
        "held": held,
        "shown": json.dumps(shown, separators=(",", ":")),
        "problems": problems,
        "saved": "saved" in request.query_params and not problems,
        "here": f"/p/{site.token(request)}",
    }
    return here.page("preferences.html", SEVEREST if problems else 200, **words)


def _facts(here: Site, held: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what is known of the customer, in words for the customer, with its unit."""
    zone = zones.of(held.get("time_zone"), here.zone)
    manner = locales.Manner(locales.ENGLISH, zone, here.language)
    for name, fact in here.facts.items():
        value = fact.typed(held.get(name), zone)
        if value is not None and value != "" and not fact.hidden:
            yield fact.label, f"{_readable(name, value, manner)} {fact.unit}".strip()


def _readable(name: str, value: Value, manner: locales.Manner) -> str:
    if isinstance(value, date):
        return manner.date(value)
    if name in READABLE and isinstance(value, str):
        return READABLE[name](value)
    return show(value)


def _cards(here: Site, standing: wishes.Standing) -> list[Card]:
    inferred = {(trait.name, trait.value): trait for trait in standing.inferred}
    return [_card(here, standing, pair, inferred.get(pair)) for pair in standing.judged(here.statements)]


def _card(here: Site, standing: wishes.Standing, pair: tuple[str, str], trait: Inferred | None) -> Card:
    (name, value), question = pair, here.statements.get(pair[0])
    evidence = trait.evidence if trait else {}
    label = evidence.get("label") or (question and question.values.get(value)) or f"{name}: {value}".replace("_", " ")
    sure = next(words for least, words in SURE if trait.confidence >= least) if trait else "You told us"
    share = round(100 * trait.confidence) if trait else 0
    words = str(evidence.get("words", ""))
    return Card(f"{wishes.JUDGE}{name}.{value}", str(label), words, sure, _answer(here, standing, pair), share)


def _answer(here: Site, standing: wishes.Standing, pair: tuple[str, str]) -> str:
    """Say which other answer of the customer settles a conclusion, empty when none does."""
    (name, value), question = pair, here.statements.get(pair[0])
    answer = decided(standing.stated, name, here.statements.implications(name).closure(value))
    if question is None or answer is None or answer[1] == value:
        return ""
    holds, word = answer
    if not standing.stated[name, word]:  # a denial, which has a card of its own
        return ""
    return (
        f"You told us: {question.values.get(word, word)}. {'That includes this.' if holds else 'That is what counts.'}"
    )


# A path, for a slash glued to the link is no other page. The routes of the pages below this one come first.
ROUTES = [Route("/p/{token:path}", page), Route("/p/{token:path}", save, methods=["POST"])]
