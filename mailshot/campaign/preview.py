"""Owns writing a letter as a real customer would get it, without a run; refuses links that do anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from mailshot.campaign.snapshot import Snapshot
from mailshot.errors import Refused
from mailshot.render import compose
from mailshot.render.compose import Mailing, OutgoingMail, Recipient
from mailshot.render.problems import RenderError
from mailshot.store import plans, profiles
from mailshot.store.engine import Connection, Store
from mailshot.store.plans import PlanDecision
from mailshot.tokens import KeyRing


def write(store: Store, edition: Snapshot, customer: str, keys: KeyRing, base_url: str, now: datetime) -> OutgoingMail:
    """Write the letter that the latest plan has for a customer, found by key or address.

    Raises NotFound for an unknown customer, Refused when the plan has no mail for them, RenderError.
    """
    with store.read() as connection:
        customer_id = profiles.find(connection, customer)
        plan = plans.latest(connection, edition.name)
        if plan is None:
            raise _not_planned(edition.name)
        row = plans.row(connection, plan.id, customer_id)
        if row is None or row.reason is not None:
            why = f"left out: {row.reason}" if row else "not in the audience"
            hint = f"mailshot rules explain '{edition.name}' {customer}"
            raise Refused(f"Plan {plan.id} has no mail for {customer} ({why}).", f"Ask why: {hint}")
        delivery = trial_recipient(connection, row, now, tracked=False)
    return compose.compose(edition.mailing(), delivery, keys, base_url)


def sample_customer(store: Store, edition: Snapshot, content: str | None = None) -> str | None:
    """Return the key of a customer who gets a mail in the latest plan."""
    with store.read() as connection:
        plan = plans.latest(connection, edition.name)
        names = [content] if content else [item.name for item in edition.read.campaign.content]
        found = [row for name in names for row in (plans.samples(connection, plan.id, name, 1) if plan else ())]
        ids = [row.customer_id for row in found[:1]]
        return str(profiles.facts_of(connection, ids)[ids[0]]["key"]) if ids else None


def no_mail(store: Store, edition: Snapshot) -> Refused:
    """Return why no mail can be shown: no plan was made yet, or the latest one contains no mail."""
    with store.read() as connection:
        plan = plans.latest(connection, edition.name)
    if plan is None:
        return _not_planned(edition.name)
    ask = f"Ask why of one customer: mailshot rules explain '{edition.name}' CUSTOMER."
    return Refused(f"Plan {plan.id} of '{edition.name}' contains no mail.", ask)


def _not_planned(name: str) -> Refused:
    return Refused(f"'{name}' has not been planned.", f"Run: mailshot plan '{name}'.")


# No run and no customer has this id: whoever clicks in a test mail unsubscribes nobody.
NOBODY = 0
EACH = 3
# These letters are thrown away: their links need only be as long as real ones.
_QUOTED = re.compile("['\"].*['\"]", re.DOTALL)
# Nor do they go anywhere: one customer's odd address says nothing about the template, and is met when it is sent to.
ADDRESS = "somebody@sample.invalid"
_UNSUBSCRIBE = re.compile(r"""href\s*=\s*["']?https://sample\.invalid/u/""", re.IGNORECASE)
KEYS, BASE_URL = KeyRing({0: bytes(32)}), "https://sample.invalid"


def trial_recipient(connection: Connection, decision: PlanDecision, date: datetime, tracked: bool) -> Recipient:
    """Return what a plan's row has for its customer, as a delivery of no run."""
    assert decision.content is not None, decision
    facts = profiles.facts_of(connection, [decision.customer_id])[decision.customer_id]
    products = profiles.products(connection, [product for product, _ in decision.offers])
    offers = [(products[product], times) for product, times in decision.offers if product in products]
    return Recipient(NOBODY, NOBODY, decision.content, facts["email"], facts, offers, tracked, date)


def sample_errors(connection: Connection, mailing: Mailing, plan_id: str, date: datetime) -> Iterator[str]:
    """Write a few letters of each content and give what failed, without a word about the customer."""
    for content in mailing.mails:
        found = [
            _fault(mailing, replace(trial_recipient(connection, row, date, tracked=True), address=ADDRESS))
            for row in plans.samples(connection, plan_id, content, EACH)
        ]
        for told, number in {told: found.count(told) for told in found if told}.items():
            yield f"{content}: {number} of {len(found)} samples cannot be written: {told}"


def _fault(mailing: Mailing, sample: Recipient) -> str:
    try:
        made = compose.compose(mailing, sample, KEYS, BASE_URL)
        made.data(eight_bit=True)
        # The template has the link, but perhaps only on a condition.
        told_already = any(remark.bulk for remark in mailing.findings("error")[sample.content])
        if mailing.bulk and not told_already and not _UNSUBSCRIBE.search(made.rendered.html):
            return "the link to unsubscribe is not in it"
    except RenderError as error:
        told = _impersonal(error.reason, mailing.mails[sample.content].facts)
        return f"{error.place}: {told}" if error.place else told
    return ""


def _impersonal(told: str, facts: Iterable[str]) -> str:
    """Keep a quoted word that names a fact; what else stands from the first quote to the last may be the customer's."""
    names = {part for fact in facts for part in (fact, *fact.split("."))}
    return _QUOTED.sub(lambda found: found[0] if found[0][1:-1] in names else "'…'", told)
