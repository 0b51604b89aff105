"""What the preference pages have in common: reading the posted form, saving it, and the words that a page shows.

Each page has a view (`wishes.View`): everybody who has a mail may change topics and answers; only the owner of the
inbox sees answers, conclusions and facts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from mailshot.facts import locales, time_zones
from mailshot.facts.comparison import Value, show
from mailshot.feedback import preferences
from mailshot.feedback.preferences import Controls, CurrentPreferences, View
from mailshot.profile import address
from mailshot.profile.implications import decided
from mailshot.store import privacy
from mailshot.store.engine import Connection
from mailshot.store.preferences import StoredTrait
from mailshot.web.site import Site

SHOWN = "shown"
Check = Callable[[Connection], object]
READABLE = {"country": locales.country, "language": locales.language_name}
SURE = ((0.99, "We are almost certain"), (0.9, "We are fairly sure"), (0.7, "We think so"), (0.0, "It is only a guess"))


@dataclass(frozen=True, slots=True)
class Card:
    """One conclusion as the page shows it. `answer` says which statement of the customer settles it, if one does."""

    control: str
    label: str
    words: str
    sure: str
    answer: str
    share: int = field(default=0)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows: `held` is how its controls stand, `shown` how they stood when the customer got the page."""

    held: Controls
    shown: Controls
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MailLink:
    """What a link in a mail leads to. `mailbox` is the fingerprint of the address that the mail went to.

    It is 0, which is no fingerprint, for links to unsubscribe of old versions: they lead to no page of topics.
    """

    here: Site
    run_id: int
    customer_id: int
    mailbox: int

    def check(self, connection: Connection) -> privacy.PersonalData:
        """Return the customer. Raises 404 for nobody or once the address is another one, 410 for the erased."""
        person = privacy.person(connection, self.customer_id)
        if person is not None and person.erased:
            raise HTTPException(410)
        if person is None or not self.reads(person):
            raise HTTPException(404)
        return person

    def reads(self, person: privacy.PersonalData) -> bool:
        """Say whether a customer still has the address that the mail went to."""
        email = person.email
        return email is not None and self.here.keys.is_fingerprint(self.mailbox, address.mailbox(email))


async def fresh(link: MailLink, view: View) -> Page:
    """Return a view as the customer stands now. Raises as `check` does."""

    def look(connection: Connection) -> CurrentPreferences:
        link.check(connection)
        return preferences.standing(connection, link.customer_id)

    return as_it_stands(link.here, await link.here.read(look), view)


def as_it_stands(here: Site, standing: CurrentPreferences, view: View) -> Page:
    """Return a view of how a customer stands."""
    shown = preferences.only(preferences.controls(standing, here.topics, here.statements), view.shows)
    return Page(shown, shown)


async def save(link: MailLink, form: FormData, view: View, check: Check | None = None) -> Page:
    """Save what a posted form changed, all of it or, with problems on the page that is returned, nothing.

    `check` (None: the link's own) raises where the form no longer counts. It is asked again in the transaction that
    saves: a form may take its time to arrive.
    """
    here, customer_id, check = link.here, link.customer_id, check or link.check

    def look(connection: Connection) -> CurrentPreferences:
        check(connection)
        return preferences.standing(connection, customer_id)

    standing = await here.read(look)
    posted, told = preferences.only(_posted(form), view.takes), _was_shown(form)
    shown = as_it_stands(here, standing, view).shown if told is None else preferences.only(told, view.shows)
    made = preferences.wishes(posted, shown, standing, here.topics, here.statements)
    if not made.problems:
        at = here.clock()

        def apply(connection: Connection) -> None:
            check(connection)
            preferences.save(connection, customer_id, link.run_id, made, here.topics, here.statements, at)

        await here.group.do(apply)
    return Page(posted, shown, tuple(made.problems))


def words(here: Site, page: Page) -> dict[str, Any]:
    """Return what the template needs for the controls of a page."""
    return {
        "topics": [(preferences.TOPIC + topic.name, topic) for topic in here.topics],
        "questions": [(preferences.SAY + q.name, preferences.FORGET + q.name, q) for q in here.statements],
        "tracking": preferences.TRACKING_TOPIC,
        "held": page.held,
        "shown": json.dumps(page.shown, separators=(",", ":")),
        "problems": page.problems,
    }


def facts(here: Site, held: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what is known of the customer, in words for the customer, with its unit."""
    zone = time_zones.of(held.get("time_zone"), here.zone)
    manner = locales.LocaleFormat(locales.ENGLISH, zone, here.language)
    for name, fact in here.facts.items():
        value = fact.typed(held.get(name), zone)
        if value is not None and value != "" and not fact.hidden:
            yield fact.label, f"{_readable(name, value, manner)} {fact.unit}".strip()


def cards(here: Site, standing: CurrentPreferences) -> list[Card]:
    """Return what was concluded about a customer, and what they called right or wrong before."""
    inferred = {(trait.name, trait.value): trait for trait in standing.inferred}
    return [_card(here, standing, pair, inferred.get(pair)) for pair in standing.judged(here.statements)]


def _posted(form: FormData) -> Controls:
    names = (name for name in form if name != SHOWN)
    return {name: tuple(str(word) for word in form.getlist(name)) for name in names}


def _was_shown(form: FormData) -> Controls | None:
    """Return what the posted page had shown, None when it does not say so (or not readably)."""
    try:
        told = json.loads(str(form[SHOWN]))
        return {str(name): tuple(map(str, words)) for name, words in told.items()}
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        return None


def _readable(name: str, value: Value, manner: locales.LocaleFormat) -> str:
    if isinstance(value, date):
        return manner.date(value)
    if name in READABLE and isinstance(value, str):
        return READABLE[name](value)
    return show(value)


def _card(here: Site, standing: CurrentPreferences, pair: tuple[str, str], trait: StoredTrait | None) -> Card:
    (name, value), question = pair, here.statements.get(pair[0])
    evidence = trait.evidence if trait else {}
    label = evidence.get("label") or (question and question.values.get(value)) or f"{name}: {value}".replace("_", " ")
    sure = next(words for least, words in SURE if trait.confidence >= least) if trait else "You told us"
    share = round(100 * trait.confidence) if trait else 0
    words = str(evidence.get("words", ""))
    return Card(f"{preferences.JUDGE}{name}.{value}", str(label), words, sure, _answer(here, standing, pair), share)


def _answer(here: Site, standing: CurrentPreferences, pair: tuple[str, str]) -> str:
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
