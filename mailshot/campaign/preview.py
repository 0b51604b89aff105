"""Renders mails as real customers would get them, without a run: for previews, and to check samples of a plan.

Their links belong to no run and no customer, so that a click changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from mailshot import errors
from mailshot.campaign import profile_values
from mailshot.campaign.languages import LanguageUse
from mailshot.campaign.snapshot import Snapshot
from mailshot.errors import NotFound, Refused
from mailshot.render import compose
from mailshot.render.compose import OutgoingMail, Recipient
from mailshot.render.mailing import Mailing
from mailshot.render.problems import RenderError
from mailshot.store import plans, profiles
from mailshot.store.engine import Connection, Store
from mailshot.store.plans import PlanDecision
from mailshot.tokens import KeyRing

#: No run and no customer has this id: a click in a test mail unsubscribes no customer.
NO_ID = 0
SAMPLES_PER_CONTENT = 3
_QUOTED = re.compile("['\"].*['\"]", re.DOTALL)
#: The recipient of samples: an unusual address of one customer says nothing about the template.
ADDRESS = "somebody@sample.invalid"
_UNSUBSCRIBE = re.compile(r"""href\s*=\s*["']?https://sample\.invalid/u/""", re.IGNORECASE)
#: Samples are thrown away: their links need only be as long as real ones.
KEYS, BASE_URL = KeyRing({0: bytes(32)}), "https://sample.invalid"


@dataclass(frozen=True, slots=True)
class Trial:
    """Composes what a plan decided, without a run."""

    connection: Connection
    edition: Snapshot
    mailing: Mailing
    #: The moment that counts as today in the plan.
    as_of: datetime
    #: The date of the mails.
    date: datetime

    def recipient(self, decision: PlanDecision, tracked: bool) -> Recipient:
        """Return the recipient of one mail of the plan."""
        assert decision.content is not None, decision
        customer_id, rulebook = decision.customer_id, self.edition.rulebook
        facts = profiles.facts_of(self.connection, [customer_id])[customer_id]
        offers = profiles.with_products(self.connection, decision.offers)
        loaded = profile_values.load(self.connection, rulebook, self.mailing.used_names, [customer_id], self.as_of)
        values, content = loaded[customer_id], decision.content
        return Recipient(NO_ID, NO_ID, content, facts["email"], facts, offers, tracked, self.date, values)


def write_preview(
    store: Store,
    edition: Snapshot,
    customer: str,
    keys: KeyRing,
    base_url: str,
    now: datetime,
    content: str | None = None,
    language: str | None = None,
) -> OutgoingMail:
    """Render the mail that the latest plan has for a customer, named by key or address.

    With `content`, render that content, whatever the plan has for the customer; the offers are those of the plan, if it
    has chosen any. `language` is a BCP 47 tag that replaces the customer's language. Raises NotFound for an unknown
    customer or content, Refused when the plan has no mail for them, RenderError.
    """
    if content is not None:
        _check_content(edition, content)
    with store.read() as connection:
        customer_id = profiles.find_customer(connection, customer)
        plan = plans.latest_plan(connection, edition.name)
        if plan is None:
            raise _not_planned(edition.name)
        row = plans.row(connection, plan.id, customer_id)
        if content is not None:
            row = PlanDecision(customer_id, content, None, row.offers if row else [])
        if row is None or row.reason is not None:
            why = f"left out: {row.reason}" if row else "not in the audience"
            hint = f"mailshot rules explain '{edition.name}' {customer}"
            raise Refused(f"Plan {plan.id} has no mail for {customer} ({why}).", f"Ask why: {hint}")
        mailing = edition.mailing()
        delivery = Trial(connection, edition, mailing, plan.as_of, now).recipient(row, tracked=False)
    if language:
        delivery = _in_language(delivery, language)
    return compose.compose(mailing, delivery, keys, base_url)


def _check_content(edition: Snapshot, content: str) -> None:
    names = [item.name for item in edition.read.campaign.content]
    if content not in names:
        nearest = errors.nearest(content, names)
        raise NotFound(f"'{edition.name}' has no content '{content}'.", nearest or f"It has: {', '.join(names)}.")


def planned_content(store: Store, edition: Snapshot, customer: str) -> str | None:
    """Return the content that a customer gets by the latest plan, None if they get no mail. Raises NotFound."""
    with store.read() as connection:
        plan = plans.latest_plan(connection, edition.name)
        row = plans.row(connection, plan.id, profiles.find_customer(connection, customer)) if plan else None
        return row.content if row and row.reason is None else None


def sample_customer(store: Store, edition: Snapshot, content: str | None = None) -> str | None:
    """Return the key of a customer who gets a mail in the latest plan, or that content. Raises NotFound."""
    if content is not None:
        _check_content(edition, content)
    with store.read() as connection:
        plan = plans.latest_plan(connection, edition.name)
        names = [content] if content else [item.name for item in edition.read.campaign.content]
        rows = [
            decision for name in names for decision in (plans.samples(connection, plan.id, name, 1) if plan else ())
        ]
        ids = [decision.customer_id for decision in rows[:1]]
        return str(profiles.facts_of(connection, ids)[ids[0]]["key"]) if ids else None


def no_mail(store: Store, edition: Snapshot) -> Refused:
    """Return why no mail can be shown: no plan was made yet, or the latest one contains no mail."""
    with store.read() as connection:
        plan = plans.latest_plan(connection, edition.name)
    if plan is None:
        return _not_planned(edition.name)
    ask = f"Ask why of one customer: mailshot rules explain '{edition.name}' CUSTOMER."
    return Refused(f"Plan {plan.id} of '{edition.name}' contains no mail.", ask)


def _not_planned(name: str) -> Refused:
    return Refused(f"'{name}' has not been planned.", f"Run: mailshot plan '{name}'.")


def _in_language(delivery: Recipient, language: str) -> Recipient:
    return replace(delivery, facts={**delivery.facts, "language": language})


def sample_errors(trial: Trial, plan_id: str, used: Mapping[str, LanguageUse]) -> Iterator[str]:
    """Render a few mails of each content, and give the errors, without any data of the customers."""
    mailing = trial.mailing
    for content in mailing.mails:
        errors = [
            _error(mailing, replace(recipient, address=ADDRESS))
            for recipient in _samples(trial, plan_id, content, used.get(content))
        ]
        for error, number in {error: errors.count(error) for error in errors if error}.items():
            yield f"{content}: {number} of {len(errors)} samples cannot be rendered: {error}"
        if mailing.archive:
            yield from _archive_errors(mailing, content, trial.date)


def _archive_errors(mailing: Mailing, content: str, date: datetime) -> Iterator[str]:
    try:
        subject, _ = compose.public_copy(mailing, content, (), date)
    except RenderError as error:
        yield f"{content}: the copy for the public archive cannot be rendered: {error}"
    else:
        if not subject:
            yield f"{content}: the copy for the public archive has no subject"


def _samples(trial: Trial, plan_id: str, content: str, used: LanguageUse | None) -> Iterator[Recipient]:
    """Give a few customers of a content; with translations, some of each version.

    A version that no customer gets now is rendered, too: a customer's language may change until the mail is sent.
    """
    connection = trial.connection
    rows = {row.customer_id: row for row in plans.samples(connection, plan_id, content, SAMPLES_PER_CONTENT)}
    first = next(iter(rows.values()), None)
    ids = {id for some in used.samples.values() for id in some[:SAMPLES_PER_CONTENT]} if used else set[int]()
    rows |= {id: row for id in sorted(ids - rows.keys()) if (row := plans.row(connection, plan_id, id))}
    for row in rows.values():
        yield trial.recipient(row, tracked=True)
    for tag in used.versions if used and first else ():
        if used and first and not used.versions[tag]:
            yield _in_language(trial.recipient(first, tracked=True), tag)


def _error(mailing: Mailing, sample: Recipient) -> str:
    try:
        made = compose.compose(mailing, sample, KEYS, BASE_URL)
        made.unsigned_data(eight_bit=True)
        # The template has the link, but perhaps only on a condition.
        reported = any(remark.bulk for remark in mailing.findings("error")[sample.content])
        if mailing.bulk and not reported and not _UNSUBSCRIBE.search(made.rendered.html):
            return "the link to unsubscribe is not in it"
    except RenderError as error:
        reason = _impersonal(error.reason, mailing.mails[sample.content].facts)
        return f"{error.place}: {reason}" if error.place else reason
    return ""


def _impersonal(reason: str, facts: Iterable[str]) -> str:
    """Replace what is quoted, which may be the customer's, unless it is the name of a fact."""
    names = {part for fact in facts for part in (fact, *fact.split("."))}
    return _QUOTED.sub(lambda quoted: quoted[0] if quoted[0][1:-1] in names else "'…'", reason)
