"""The form that the preference pages share: its values, reading it when it is posted, and saving it.

Each page has a view (`feedback.preferences.View`): anyone who has the mail may change topics and answers; only the
owner of the inbox sees answers, conclusions and facts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from mailshot.facts import locales, time_zones
from mailshot.facts.comparison import Value, format_value
from mailshot.feedback import preferences
from mailshot.feedback.preferences import Controls, CurrentPreferences, PreferenceChange, RequestedChanges, View
from mailshot.profile import address
from mailshot.profile.implications import decided_answer
from mailshot.store import privacy
from mailshot.store.engine import Connection
from mailshot.store.preferences import StoredTrait
from mailshot.web.site import Site

#: The hidden field with the controls that the page showed, as JSON.
SHOWN = "shown"
#: The button that withdraws from all topics.
LEAVE = "leave"
#: Raises when a posted form no longer counts: the customer was erased, or has another address.
Check = Callable[[Connection], object]
#: Facts whose values are codes, with the function that names them.
READABLE = {"country": locales.country, "language": locales.language_name}
#: The least confidence for each sentence.
SURE = ((0.99, "We are almost certain"), (0.9, "We are fairly sure"), (0.7, "We think so"), (0.0, "It is only a guess"))


@dataclass(frozen=True, slots=True)
class Card:
    """One conclusion as the page shows it."""

    #: The name of its control.
    control: str
    label: str
    #: The evidence, as a sentence.
    words: str
    #: How sure we are, as a sentence; `share` is the confidence in percent, 0 without a trait.
    sure: str
    #: A sentence about the customer's own answer that decides instead; empty when there is none.
    answer: str
    share: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows."""

    #: The values of the controls now; as posted, when that had problems.
    held: Controls
    #: Their values when the customer opened the page.
    shown: Controls
    #: Why nothing was saved, in sentences for the customer.
    problems: tuple[str, ...] = ()
    #: How many mails came in the last 30 days.
    recent_mails: int = 0
    #: The day on which a pause ends, formatted; "" when the mail is not paused.
    paused_until: str = ""


@dataclass(frozen=True, slots=True)
class MailLink:
    """What a link in a mail leads to."""

    site: Site
    run_id: int
    customer_id: int
    #: Fingerprint of the address that the mail went to. 0, which matches no address, in unsubscribe links of old
    #: versions: they do not lead to the page of topics.
    mailbox: int

    def check(self, connection: Connection) -> privacy.PersonalData:
        """Return the customer. Raises 404 when unknown or the address has changed, 410 when erased."""
        person = privacy.person(connection, self.customer_id)
        if person is not None and person.erased:
            raise HTTPException(410)
        if person is None or not self.reads(person):
            raise HTTPException(404)
        return person

    def reads(self, person: privacy.PersonalData) -> bool:
        """Return whether a customer still has the address that the mail went to."""
        email = person.email
        return email is not None and self.site.keys.is_fingerprint(self.mailbox, address.fold_mailbox(email))


async def current_page(link: MailLink, view: View) -> Page:
    """Return the page with what is stored now. Raises as `MailLink.check` does."""

    def query(connection: Connection) -> CurrentPreferences:
        link.check(connection)
        return preferences.current_preferences(connection, link.customer_id, link.site.clock())

    return page_of(link.site, await link.site.read(query), view)


def page_of(site: Site, current: CurrentPreferences, view: View) -> Page:
    """Return the part of a customer's preferences that a view shows."""
    controls = preferences.controls(current, site.settings.topics, site.settings.statements)
    shown_controls = preferences.with_prefixes(controls, view.shows)
    return _with_mail_rate(site, current, Page(shown_controls, shown_controls))


def _with_mail_rate(site: Site, current: CurrentPreferences, page: Page) -> Page:
    """Add how often the customer is mailed, and until when not."""
    until, day = current.paused_until, ""
    if until is not None and until > site.clock():
        locale_format = locales.LocaleFormat(locales.ENGLISH, site.settings.zone, site.settings.language)
        day = locale_format.date(until.astimezone(site.settings.zone).date())
    return replace(page, recent_mails=current.recent_mails, paused_until=day)


async def save_form(link: MailLink, form: FormData, view: View, check: Check | None = None) -> Page:
    """Save what a posted form changed: all of it or, with problems on the returned page, nothing.

    `check` (None: the link's own) runs again in the transaction that saves, because a form may take its time to arrive.
    """
    site, check = link.site, check or link.check
    topics, statements = site.settings.topics, site.settings.statements

    def query(connection: Connection) -> CurrentPreferences:
        check(connection)
        return preferences.current_preferences(connection, link.customer_id, site.clock())

    current = await site.read(query)
    posted, was_shown = preferences.with_prefixes(_posted(form), view.takes), _shown_before(form)
    if was_shown is None:
        shown_controls = page_of(site, current, view).shown
    else:
        shown_controls = preferences.with_prefixes(was_shown, view.shows)
    if LEAVE in form:  # a button of its own: nothing else on the page counts
        requested = RequestedChanges(topics={topic.name: False for topic in topics})
    else:
        requested = preferences.requested_changes(posted, shown_controls, current, topics, statements)
    if not requested.problems:
        change = PreferenceChange(link.customer_id, link.run_id, requested, site.clock())

        def save_change(connection: Connection) -> None:
            check(connection)
            preferences.save_changes(connection, change, topics, statements)

        await site.group.do(save_change)
    return _with_mail_rate(site, current, Page(posted, shown_controls, tuple(requested.problems)))


def template_values(site: Site, page: Page) -> dict[str, Any]:
    """Return the template's values for the controls of a page."""
    return {
        "topics": [(preferences.TOPIC + topic.name, topic) for topic in site.settings.topics],
        "questions": [(preferences.SAY + q.name, preferences.FORGET + q.name, q) for q in site.settings.statements],
        "tracking": preferences.TRACKING_TOPIC,
        "held": page.held,
        "shown": json.dumps(page.shown, separators=(",", ":")),
        "problems": page.problems,
        "leave": LEAVE,
        "gets_mail": any(name.startswith(preferences.TOPIC) for name in page.held),
        "pause": preferences.PAUSE,
        "pause_days": preferences.PAUSE_DAYS,
        "paused_until": page.paused_until,
        "recent_mails": page.recent_mails,
        "unstoppable": [topic.title for topic in site.settings.topics if not topic.requires_consent],
    }


def fact_lines(site: Site, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the label and the value of each known fact, formatted for the customer."""
    zone = time_zones.find_zone(facts.get("time_zone"), site.settings.zone)
    manner = locales.LocaleFormat(locales.ENGLISH, zone, site.settings.language)
    for name, fact in site.settings.facts.items():
        value = fact.typed(facts.get(name), zone)
        if value is not None and value != "" and not fact.hidden:
            yield fact.label, f"{_readable(name, value, manner)} {fact.unit}".strip()


def conclusion_cards(site: Site, current: CurrentPreferences) -> list[Card]:
    """Return what was concluded about a customer, and what they called right or wrong earlier."""
    inferred = {(trait.name, trait.value): trait for trait in current.inferred}
    return [_card(site, current, pair, inferred.get(pair)) for pair in current.judged(site.settings.statements)]


def _posted(form: FormData) -> Controls:
    names = (name for name in form if name != SHOWN)
    return {name: tuple(str(value) for value in form.getlist(name)) for name in names}


def _shown_before(form: FormData) -> Controls | None:
    """Return what the posted page had shown, None when the field is missing or cannot be read."""
    try:
        controls = json.loads(str(form[SHOWN]))
        return {str(name): tuple(map(str, values)) for name, values in controls.items()}
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        return None


def _readable(name: str, value: Value, manner: locales.LocaleFormat) -> str:
    if isinstance(value, date):
        return manner.date(value)
    if name in READABLE and isinstance(value, str):
        return READABLE[name](value)
    return format_value(value)


def _card(site: Site, current: CurrentPreferences, pair: tuple[str, str], trait: StoredTrait | None) -> Card:
    (name, value), question = pair, site.settings.statements.get(pair[0])
    evidence = trait.evidence if trait else {}
    label = evidence.get("label") or (question and question.values.get(value)) or f"{name}: {value}".replace("_", " ")
    sure = next(text for least, text in SURE if trait.confidence >= least) if trait else "You told us"
    share = round(100 * trait.confidence) if trait else 0
    explanation = str(evidence.get("words", ""))
    return Card(
        f"{preferences.JUDGE}{name}.{value}", str(label), explanation, sure, _answer(site, current, pair), share
    )


def _answer(site: Site, current: CurrentPreferences, pair: tuple[str, str]) -> str:
    """Return a sentence about the customer's own answer that decides a conclusion, empty when there is none."""
    (name, value), question = pair, site.settings.statements.get(pair[0])
    answer = decided_answer(current.stated, name, site.settings.statements.implications(name).closure(value))
    if question is None or answer is None or answer[1] == value:
        return ""
    holds, stated = answer
    if not current.stated[name, stated]:  # a denial, which has a card of its own
        return ""
    consequence = "That includes this." if holds else "That is what counts."
    return f"You told us: {question.values.get(stated, stated)}. {consequence}"
