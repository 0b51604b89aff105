"""The form that the preference pages share: its values, reading it when it is posted, and saving it.

Each page has a view (`preference_controls.View`): anyone who has the mail may change topics and answers; only the
owner of the inbox sees answers, conclusions and facts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request

from mailshot.customer_texts.language import CustomerLanguage
from mailshot.facts.catalogue import Fact, FactType
from mailshot.feedback import preference_controls, preferences
from mailshot.feedback.fact_corrections import MAX_CHARACTERS
from mailshot.feedback.preference_controls import (
    Controls,
    CurrentPreferences,
    FormProblem,
    ProblemKind,
    RequestedChanges,
    View,
)
from mailshot.feedback.preferences import PreferenceChange
from mailshot.profile import address
from mailshot.profile.preferences import Question
from mailshot.profile.topics import TRACKING
from mailshot.store import privacy
from mailshot.store.engine import Connection
from mailshot.tokens import Purpose
from mailshot.web.site import Site, choose_language, site_of, verified_ids

#: The hidden field with the controls that the page showed, as JSON.
SHOWN = "shown"
#: The button that withdraws from all topics.
LEAVE = "leave"
#: Raises when a posted form no longer counts: the customer was erased, or has another address.
Check = Callable[[Connection], object]


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows."""

    #: The values of the controls now; as posted, when that had problems.
    held: Controls
    #: Their values when the customer opened the page.
    shown: Controls
    #: Why nothing was saved.
    problems: tuple[FormProblem, ...] = ()
    #: How many mails came in the last 30 days.
    recent_mails: int = 0
    #: The day on which a pause ends; None when the mail is not paused.
    paused_until: date | None = None


@dataclass(frozen=True, slots=True)
class MailLink:
    """What a link in a mail leads to."""

    site: Site
    run_id: int
    customer_id: int
    #: Fingerprint of the address that the mail went to. 0, which matches no address, in unsubscribe links of old
    #: versions: they do not lead to the page of topics.
    mailbox: int
    language: CustomerLanguage

    def check(self, connection: Connection) -> privacy.PersonalData:
        """Return the customer. Raises 404 when unknown or the address has changed, 410 when erased."""
        person = privacy.person(connection, self.customer_id)
        if person is not None and person.erased:
            raise HTTPException(410)
        if person is None or not self.reads(person):
            raise HTTPException(404)
        return person

    def moment(self, at: datetime) -> str:
        """Return day and time of a moment in words, in the company's zone."""
        settings = self.site.settings
        local = at.astimezone(settings.zone)
        return f"{self.language.date(local, settings.zone, settings.language)} {local:%H:%M %Z}"

    def reads(self, person: privacy.PersonalData) -> bool:
        """Return whether a customer still has the address that the mail went to."""
        email = person.email
        return email is not None and self.site.keys.is_fingerprint(self.mailbox, address.fold_mailbox(email))


async def open_mail_link(request: Request, purpose: Purpose, *counts: int) -> MailLink:
    """Return what the link of a request leads to, and choose the customer's language. Raises as `verified_ids` does."""
    site, (run_id, customer_id, *mailbox) = site_of(request), await verified_ids(request, purpose, *counts)
    person = await site.read(lambda connection: privacy.person(connection, customer_id))
    return MailLink(
        site, run_id, customer_id, sum(mailbox), choose_language(request, person.language if person else None)
    )


async def current_page(link: MailLink, view: View) -> Page:
    """Return the page with what is stored now. Raises as `MailLink.check` does."""

    def query(connection: Connection) -> CurrentPreferences:
        link.check(connection)
        return preferences.current_preferences(connection, link.customer_id, link.site.clock())

    return page_of(link.site, await link.site.read(query), view)


def page_of(site: Site, current: CurrentPreferences, view: View) -> Page:
    """Return the part of a customer's preferences that a view shows."""
    controls = preference_controls.controls(
        current, site.settings.topics, site.settings.statements, site.settings.facts
    )
    shown_controls = preference_controls.with_prefixes(controls, view.shows)
    return _with_mail_rate(site, current, Page(shown_controls, shown_controls))


def _with_mail_rate(site: Site, current: CurrentPreferences, page: Page) -> Page:
    """Add how often the customer is mailed, and until when not."""
    until, day = current.paused_until, None
    if until is not None and until > site.clock():
        day = until.astimezone(site.settings.zone).date()
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
    posted, was_shown = preference_controls.with_prefixes(_posted(form), view.takes), _shown_before(form)
    if was_shown is None:
        shown_controls = page_of(site, current, view).shown
    else:
        shown_controls = preference_controls.with_prefixes(was_shown, view.shows)
    if LEAVE in form:  # a button of its own: nothing else on the page counts
        requested = RequestedChanges(topics={topic.name: False for topic in topics})
    else:
        requested = preference_controls.requested_changes(posted, shown_controls, current, topics, statements)
        preference_controls.add_facts(requested, posted, shown_controls, site.settings.facts)
    if not requested.problems:
        change = PreferenceChange(link.customer_id, link.run_id, requested, site.clock(), _wording(link))

        def save_change(connection: Connection) -> None:
            check(connection)
            preferences.save_changes(connection, change, topics, statements)

        await site.group.do(save_change)
    return _with_mail_rate(site, current, Page(posted, shown_controls, tuple(requested.problems)))


def template_values(link: MailLink, page: Page) -> dict[str, Any]:
    """Return the template's values for the controls of a page, with the shop's texts in the customer's language."""
    site, language = link.site, link.language
    until = page.paused_until
    return {
        "topics": [
            (preference_controls.TOPIC + t.name, *map(language.shop_text, (t.title, t.help)))
            for t in site.settings.topics
        ],
        "questions": [_question_values(question, language) for question in site.settings.statements],
        "tracking": (TRACKING, *_tracking_texts(language)),
        "held": page.held,
        "shown": json.dumps(page.shown, separators=(",", ":")),
        "problems": [(problem.control, problem_text(problem, language)) for problem in page.problems],
        "problem_of": {problem.control: problem_text(problem, language) for problem in page.problems},
        "leave": LEAVE,
        "gets_mail": any(name.startswith(preference_controls.TOPIC) for name in page.held),
        "pause": preference_controls.PAUSE,
        "pause_days": preference_controls.PAUSE_DAYS,
        "paused_until": until and language.date(until, site.settings.zone, site.settings.language),
        "recent_mails": page.recent_mails,
        "unstoppable": language.quoted(topic.title for topic in site.settings.topics if not topic.requires_consent),
    }


def problem_text(problem: FormProblem, language: CustomerLanguage) -> str:
    """Return a sentence for the customer that says why nothing was saved."""
    gettext, question = language.gettext, problem.question
    title = language.shop_text(question.title) if question else ""
    labels = language.quoted(question.values.get(value, value) for value in problem.values) if question else ""
    match problem.kind:
        case ProblemKind.pause:
            return gettext("Please choose one length for the pause.")
        case ProblemKind.unknown_answer:
            return gettext("Please choose one of the answers to “%(question)s”.", question=title)
        case ProblemKind.contradiction:
            return gettext(
                "Your answers to “%(question)s” contradict each other: %(answers)s.", question=title, answers=labels
            )
        case ProblemKind.conclusions_changed:
            return gettext("Our conclusions have changed since you opened this page. Please check them again.")
        case ProblemKind.judgement:
            return gettext("Please choose either “That is right” or “That is wrong”.")
        case ProblemKind.fact:
            assert problem.fact is not None
            return _fact_problem(problem.fact, language)


def _fact_problem(fact: Fact, language: CustomerLanguage) -> str:
    gettext, label = language.gettext, language.shop_text(fact.label)
    if fact.type is FactType.number:
        return gettext("“%(fact)s”: please write a number, such as 12 or 12.5.", fact=label)
    if fact.type is FactType.date:
        return gettext("“%(fact)s”: please give a day, such as 1990-02-28.", fact=label)
    if fact.choices or fact.type is FactType.boolean:
        return gettext("“%(fact)s”: please choose one of the answers.", fact=label)
    return gettext("“%(fact)s”: please write at most %(count)s characters.", fact=label, count=MAX_CHARACTERS)


def _question_values(question: Question, language: CustomerLanguage) -> dict[str, Any]:
    return {
        "control": preference_controls.SAY + question.name,
        "forget": preference_controls.FORGET + question.name,
        "title": language.shop_text(question.title),
        "help": language.shop_text(question.help),
        "choice": question.choice,
        "labels": {value: language.shop_text(label) for value, label in question.values.items()},
    }


def _tracking_texts(language: CustomerLanguage) -> tuple[str, str]:
    return language.gettext("Learn from what I open and click"), language.gettext(
        "Lets us see which of our mails you open and which links you follow, so that we send fewer and better ones."
    )


def _wording(link: MailLink) -> dict[str, str]:
    """Return what the page says about each topic and about tracking: the proof of a consent."""
    texts = {topic.name: (topic.title, topic.help) for topic in link.site.settings.topics}
    wording = {name: tuple(map(link.language.shop_text, pair)) for name, pair in texts.items()}
    wording[TRACKING] = _tracking_texts(link.language)
    return {name: f"{title}. {help}".strip() for name, (title, help) in wording.items()}


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
