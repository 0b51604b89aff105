"""Owns answering "why did she get this, or not?" for one customer; refuses to decide anew (the plan's rows decided)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mailshot.audience.book import Audience
from mailshot.audience.evaluate import Judge, Verdict
from mailshot.audience.nodes import Everyone
from mailshot.campaign.frozen import Edition
from mailshot.campaign.rulebook import Rulebook
from mailshot.events import Reason
from mailshot.profile.customer import Profile
from mailshot.store import plans, profiles, runs
from mailshot.store.engine import Connection, Store


@dataclass(frozen=True, slots=True)
class Offered:
    """One product of a mail: how often it was bought, and the guards that were asked about it."""

    key: str
    name: str
    department: str
    category: str
    times: int
    guards: tuple[str, ...]

    def words(self) -> str:
        why = f"bought {self.times} times" if self.times else "popular with others"
        asked = f"; allowed by {', '.join(self.guards)}" if self.guards else ""
        return f"{self.name} ({self.department}, {self.category}): {why}{asked}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Verdicts on the audience, each content's `when` and each guard; then what was decided and where it stands."""

    customer: str
    as_of: datetime
    audience: Verdict
    contents: dict[str, Verdict] = field(default_factory=dict)
    guards: dict[str, Verdict] = field(default_factory=dict)
    plan: str | None = None
    content: str | None = None
    reason: str | None = None
    offers: tuple[Offered, ...] = ()
    deliveries: tuple[str, ...] = ()

    def outcome(self) -> str:
        """Say in a sentence what the plan decided."""
        if self.plan is None:
            return "No plan has looked at this customer yet."
        if self.content is None and self.reason is None:
            return "Not in the audience: no mail."
        if self.reason:
            return f"No mail: {self.reason} ({Reason.of(self.reason).help})."
        return f"Gets the mail '{self.content}'."

    def as_dict(self) -> dict[str, Any]:
        return {
            "customer": self.customer,
            "as_of": self.as_of.isoformat(),
            "outcome": self.outcome(),
            "plan": self.plan,
            "content": self.content,
            "reason": self.reason,
            "audience": self.audience.as_dict(),
            "contents": {name: verdict.as_dict() for name, verdict in self.contents.items()},
            "guards": {name: verdict.as_dict() for name, verdict in self.guards.items()},
            "offers": [offer.words() for offer in self.offers],
            "deliveries": list(self.deliveries),
        }


def audience(store: Store, rulebook: Rulebook, found: Audience, customer: str, as_of: datetime) -> Explanation:
    """Explain one audience for one customer. Raises NotFound."""
    with store.read() as connection:
        profile = profiles.profile(connection, profiles.find(connection, customer))
    judge = Judge(profile, as_of, rulebook.company.time_zone)
    return Explanation(customer, as_of, judge.verdict(found.condition))


def campaign(store: Store, edition: Edition, customer: str, as_of: datetime) -> Explanation:
    """Explain one campaign for one customer, as the latest plan decided and the ledger stands. Raises NotFound."""
    with store.read() as connection:
        profile = profiles.profile(connection, profiles.find(connection, customer))
        judge = Judge(profile, as_of, edition.rulebook.company.time_zone)
        plan = plans.latest(connection, edition.name)
        row = plans.row(connection, plan["id"], profile.id) if plan else None
        guards = {guard.name: judge.verdict(guard.customers) for guard in edition.rulebook.guards}
        whens = edition.read.when
        return Explanation(
            customer=customer,
            as_of=as_of,
            audience=judge.verdict(edition.read.audience.condition),
            contents={
                item.name: judge.verdict(whens.get(item.name, Everyone(0))) for item in edition.read.campaign.content
            },
            guards=guards,
            plan=plan["id"] if plan else None,
            content=row["content"] if row else None,
            reason=row["reason"] if row else None,
            offers=_offers(connection, edition, row["offers"] or [] if row else [], guards),
            deliveries=tuple(_deliveries(connection, edition.name, profile)),
        )


def _offers(
    connection: Connection, edition: Edition, chosen: list[list[int]], guards: dict[str, Verdict]
) -> tuple[Offered, ...]:
    facts = profiles.products(connection, [product for product, _ in chosen])
    applying = [guard for guard in edition.rulebook.guards if guards[guard.name].holds]
    found = []
    for product_id, times in chosen:
        about = facts[product_id]
        allowed = tuple(guard.name for guard in applying if not guard.never.matches(about))
        key, name, department, category = (str(about[n] or "") for n in ("key", "name", "department", "category"))
        found.append(Offered(key, name, department, category, times, allowed))
    return tuple(found)


def _deliveries(connection: Connection, campaign: str, profile: Profile) -> list[str]:
    found = []
    for run in runs.of(connection, campaign):
        row = runs.delivery(connection, run["id"], profile.id)
        if row:
            said = f" ({row['reason'] or row['reply']})" if row["reason"] or row["reply"] else ""
            found.append(f"run {run['id']} of {run['launched_at']:%Y-%m-%d %H:%M}: {row['state']}{said}")
    return found
