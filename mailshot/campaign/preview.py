"""Owns writing a letter as a real customer would get it, without a run; refuses links that do anything."""

from __future__ import annotations

from datetime import datetime

from mailshot.campaign import samples
from mailshot.campaign.frozen import Snapshot
from mailshot.errors import Refused
from mailshot.render import letter
from mailshot.render.letter import OutgoingMail
from mailshot.store import plans, profiles
from mailshot.store.engine import Store
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
        row = plans.row(connection, plan["id"], customer_id)
        if row is None or row["reason"] is not None:
            why = f"left out: {row['reason']}" if row else "not in the audience"
            hint = f"mailshot rules explain '{edition.name}' {customer}"
            raise Refused(f"Plan {plan['id']} has no mail for {customer} ({why}).", f"Ask why: {hint}")
        delivery = samples.trial_recipient(connection, row, now, tracked=False)
    return letter.compose(edition.mailing(), delivery, keys, base_url)


def sample_customer(store: Store, edition: Snapshot, content: str | None = None) -> str | None:
    """Return the key of a customer who gets a mail in the latest plan."""
    with store.read() as connection:
        plan = plans.latest(connection, edition.name)
        names = [content] if content else [item.name for item in edition.read.campaign.content]
        found = [row for name in names for row in (plans.samples(connection, plan["id"], name, 1) if plan else ())]
        ids = [int(row["customer_id"]) for row in found[:1]]
        return str(profiles.facts_of(connection, ids)[ids[0]]["key"]) if ids else None


def no_mail(store: Store, edition: Snapshot) -> Refused:
    """Return why no mail can be shown: no plan was made yet, or the latest one contains no mail."""
    with store.read() as connection:
        plan = plans.latest(connection, edition.name)
    if plan is None:
        return _not_planned(edition.name)
    ask = f"Ask why of one customer: mailshot rules explain '{edition.name}' CUSTOMER."
    return Refused(f"Plan {plan['id']} of '{edition.name}' contains no mail.", ask)


def _not_planned(name: str) -> Refused:
    return Refused(f"'{name}' has not been planned.", f"Run: mailshot plan '{name}'.")
