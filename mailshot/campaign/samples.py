"""Owns letters written on trial, from rows of a plan; refuses to keep or to send them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from mailshot.render import letter
from mailshot.render.failure import RenderError
from mailshot.render.letter import Mailing, Recipient
from mailshot.store import plans, profiles
from mailshot.store.engine import Connection
from mailshot.tokens import KeyRing

# No run and no customer has this id: whoever clicks in a test mail unsubscribes nobody.
NOBODY = 0
EACH = 3
# These letters are thrown away: their links need only be as long as real ones.
_QUOTED = re.compile("['\"].*['\"]", re.DOTALL)
# Nor do they go anywhere: one customer's odd address says nothing about the template, and is met when it is sent to.
ADDRESS = "somebody@sample.invalid"
_UNSUBSCRIBE = re.compile(r"""href\s*=\s*["']?https://sample\.invalid/u/""", re.IGNORECASE)
KEYS, BASE_URL = KeyRing({0: bytes(32)}), "https://sample.invalid"


def trial_recipient(connection: Connection, row: Mapping[str, Any], date: datetime, tracked: bool) -> Recipient:
    """Return what a plan's row has for its customer, as a delivery of no run."""
    customer_id = int(row["customer_id"])
    facts = profiles.facts_of(connection, [customer_id])[customer_id]
    products = profiles.products(connection, [product for product, _ in row["offers"] or ()])
    offers = [(products[product], times) for product, times in row["offers"] or () if product in products]
    return Recipient(NOBODY, NOBODY, row["content"], facts["email"], facts, offers, tracked, date)


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
        made = letter.compose(mailing, sample, KEYS, BASE_URL)
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
