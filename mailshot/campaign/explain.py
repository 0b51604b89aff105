"""Explains for one customer why an audience matches or a campaign sends a mail, or why not.

The rows of a plan or run say what was decided; the rest shows how the rules come to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from mailshot.audience.counterfactual import Counterfactual, NeededChange
from mailshot.audience.evaluate import Evaluator, Verdict
from mailshot.audience.nodes import Everyone
from mailshot.audience.registry import Audience
from mailshot.campaign import languages, launch, plan, snapshot
from mailshot.campaign.eligibility import Check, EligibilityReport
from mailshot.campaign.snapshot import Snapshot
from mailshot.errors import NotFound, Refused, nearest
from mailshot.profile.customer import Profile
from mailshot.rulebook import guards as guarding
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import DeliveryState, Reason, RunState
from mailshot.store import eligibility_rows, fact_corrections, ledger_queries, plans, profiles, runs
from mailshot.store import snapshots as frozen_rows
from mailshot.store.engine import Connection, Store
from mailshot.store.ledger_queries import DeliveryRecord
from mailshot.store.plans import PlanDecision, PlanHead


@dataclass(frozen=True, slots=True)
class Offered:
    """One product offered in a mail."""

    key: str
    name: str
    department: str
    category: str
    #: How often the customer bought it; 0: it is popular with others.
    times: int
    #: The guards that apply to the customer and allow the product.
    guards: tuple[str, ...]
    #: The guards that apply and forbid it: the customer changed after the plan, and a launch will leave it out.
    forbidding: tuple[str, ...] = ()

    def words(self) -> str:
        bought = "bought once" if self.times == 1 else f"bought {self.times} times"
        why = bought if self.times else "popular with others"
        place = ", ".join(part for part in (self.department, self.category) if part)
        asked = f"; allowed by {', '.join(self.guards)}" if self.guards else ""
        asked = f"; now forbidden by {', '.join(self.forbidding)}" if self.forbidding else asked
        return f"{self.name} ({place}): {why}{asked}" if place else f"{self.name}: {why}{asked}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Verdicts on the audience, each content's `when` and each guard; then what was decided.

    With a `run` everything is as it was for that run. Without one, `content` and `reason` are from the latest plan.
    """

    customer: str
    as_of: datetime
    audience: Verdict
    #: What would have to change for the customer to be in the audience.
    needed: tuple[NeededChange, ...] = ()
    #: What a campaign's mail must pass; empty where only an audience is explained.
    checks: tuple[Check, ...] = ()
    run: int | None = None
    state: str | None = None
    contents: dict[str, Verdict] = field(default_factory=dict)
    guards: dict[str, Verdict] = field(default_factory=dict)
    plan: str | None = None
    #: Names the plan by its time, and its run.
    planned: str = ""
    #: What a plan would decide differently now.
    since: str = ""
    content: str | None = None
    reason: str | None = None
    offers: tuple[Offered, ...] = ()
    deliveries: tuple[str, ...] = ()
    #: Which version of a mail with translations the customer gets, in words; "" for no mail, or a mail in one language.
    language: str = ""
    #: The facts that the customer corrected or removed on the preference page.
    corrected: tuple[str, ...] = ()

    def outcome(self) -> str:
        """Return in a sentence what was decided."""
        if self.run is not None:
            return self._of_run()
        if not self.checks:
            return "In the audience." if self.audience.holds else "Not in the audience."
        if self.plan is None:
            return f"No plan covers this customer yet. {self.since}".rstrip()
        if not self.since:
            return describe_decision(self.content, self.reason)
        if self.content is None and self.reason is None:
            return f"{self.planned} has no row for this customer. {self.since}"
        return f"{self.planned} says: {describe_decision(self.content, self.reason)} {self.since}"

    def _of_run(self) -> str:
        if self.state is None:
            then = "not in the audience then"
            if self.audience.holds:
                then += ", though by what is known today the customer would be (facts and traits have no history)"
            return f"Run {self.run} has no row for this customer: {then}."
        why = f": {self.reason} ({Reason.of(self.reason).help})" if self.reason else ""
        help = DeliveryState.of(self.state).help
        content = f" '{self.content}'" if self.content and not self.reason else ""
        return f"Run {self.run}{content}: {self.state}{why or f' ({help})'}."

    def obstacles(self) -> list[Check]:
        """Return the checks that do not pass."""
        return [check for check in self.checks if not check.passes]

    def as_dict(self) -> dict[str, Any]:
        return {
            "customer": self.customer,
            "as_of": self.as_of.isoformat(),
            "outcome": self.outcome(),
            "plan": self.plan,
            "planned": self.planned,
            "since": self.since,
            "content": self.content,
            "reason": self.reason,
            "run": self.run,
            "state": self.state,
            "audience": self.audience.as_dict(),
            "needed": [change.words() for change in self.needed],
            "checks": [check.as_dict() for check in self.checks],
            "contents": {name: verdict.as_dict() for name, verdict in self.contents.items()},
            "guards": {name: verdict.as_dict() for name, verdict in self.guards.items()},
            "offers": [offer.words() for offer in self.offers],
            "deliveries": list(self.deliveries),
            "language": self.language,
            "corrected": list(self.corrected),
        }


def explain_audience(
    store: Store, rulebook: Rulebook, audience: Audience, customer: str, as_of: datetime, back: bool = False
) -> Explanation:
    """Explain one audience for one customer. Raises NotFound.

    `back` uses only the consents and preferences stated before `as_of`.
    """
    with store.read() as connection:
        profile = profiles.profile(connection, profiles.find_customer(connection, customer), as_of if back else None)
        corrected = fact_corrections.corrected_facts(connection, profile.id)
    judge = Evaluator(profile, as_of, rulebook.company.time_zone)
    verdict, needed = judge.verdict(audience.condition), Counterfactual(judge).changes(audience.condition)
    return Explanation(customer, as_of, verdict, needed=needed, corrected=corrected)


def explain_campaign(store: Store, edition: Snapshot, customer: str, as_of: datetime) -> Explanation:
    """Explain one campaign for one customer, by its latest plan and the ledger. Raises NotFound."""
    zone = edition.rulebook.company.time_zone
    with store.read() as connection:
        profile = profiles.profile(connection, profiles.find_customer(connection, customer))
        head = plans.latest_plan(connection, edition.name)
        row = plans.row(connection, head.id, profile.id) if head else None
        explanation = _explained(connection, edition, Evaluator(profile, as_of.astimezone(zone), zone), row)
        since = _since(connection, edition, profile.id, as_of, head, row)
        planned = _planned(connection, head, zone) if head else ""
        return replace(explanation, customer=customer, plan=head.id if head else None, planned=planned, since=since)


def describe_decision(content: str | None, reason: str | None) -> str:
    """Return in a sentence what was decided for a customer; neither content nor reason: not in the audience."""
    if reason:
        return f"No mail: {reason} ({Reason.of(reason).help})."
    return f"Gets the mail '{content}'." if content else "Not in the audience: no mail."


def _planned(connection: Connection, head: PlanHead, zone: ZoneInfo) -> str:
    run = next((run.id for run in runs.runs_of(connection, head.campaign) if run.plan_id == head.id), None)
    launched = f", launched as run {run}," if run else ""
    return f"The plan of {head.made_at.astimezone(zone):%Y-%m-%d %H:%M %Z}{launched}"


def _since(
    connection: Connection,
    edition: Snapshot,
    customer_id: int,
    as_of: datetime,
    head: PlanHead | None,
    row: PlanDecision | None,
) -> str:
    """Return what a plan would decide differently now, and what has changed since the latest plan; "" for the same."""
    content, reason = plan.verdict(connection, edition, customer_id, as_of)
    before = (row.content, row.reason) if row else (None, None)
    if before[1] == Reason.no_offers:  # which offers are left is only known when all customers are planned
        before = (before[0], None)
        reason = None if reason == Reason.holdout else reason
    changed = launch.changed_parts(edition, head) if head else []
    # Customers who are left out have a content, too; then only the reason matters.
    if head and (before == (content, reason) or (reason and before[1] == reason)):
        return ""
    rules = f" Changed since: {', '.join(changed)}." if changed else ""
    return f"Current result: {describe_decision(content, reason)}{rules} To plan again: mailshot plan '{edition.name}'."


def explain_run(store: Store, name: str, run_id: int, customer: str) -> Explanation:
    """Explain what a run decided for one customer, by the rules it froze and the data of that time.

    Raises NotFound for an unknown run or customer, Refused for a run that another system sent.
    """
    with store.read() as connection:
        head = runs.find_run(connection, run_id)
        if head is None or head.campaign != name:
            ids = ", ".join(str(known_run.id) for known_run in runs.runs_of(connection, name))
            remedy = f"Its runs: {ids}." if ids else nearest(name, runs.campaign_names(connection))
            raise NotFound(f"There is no run {run_id} of '{name}'.", remedy)
        if head.state is RunState.past:
            raise Refused(f"Run {run_id} was sent by another system, whose rules are not known.")
        edition = snapshot.thaw(frozen_rows.body(connection, head.definition))
        known_by = head.launched_at
        profile = profiles.profile(connection, profiles.find_customer(connection, customer), before=known_by)
        row = ledger_queries.delivery(connection, run_id, profile.id)
        zone = edition.rulebook.company.time_zone
        judge = Evaluator(profile, head.as_of.astimezone(zone), zone)
        explanation = _explained(connection, edition, judge, row, known_by, run_id)
        return replace(explanation, customer=customer, run=run_id, state=row.state if row else None, plan=head.plan_id)


def _explained(
    connection: Connection,
    edition: Snapshot,
    judge: Evaluator,
    row: PlanDecision | DeliveryRecord | None,
    before: datetime | None = None,
    but: int | None = None,
) -> Explanation:
    """Explain a campaign by the customer as `judge` has them; `row` is what was decided, None for nothing.

    `before` is until when consents count (None: now), `but` the run whose own mails do not count.
    """
    advisor, whens = Counterfactual(judge), edition.read.when
    standing = eligibility_rows.read_rows(connection, judge.profile.id, before, but)
    guards = guarding.guard_verdicts(edition.rulebook.guards, judge, standing.answers)
    return Explanation(
        customer="",
        as_of=judge.as_of,
        audience=judge.verdict(edition.read.audience.condition),
        needed=advisor.changes(edition.read.audience.condition),
        checks=EligibilityReport(connection, edition, advisor, standing, guards, row.reason if row else None).all(),
        contents={
            item.name: judge.verdict(whens.get(item.name, Everyone(0))) for item in edition.read.campaign.content
        },
        guards=guards,
        content=row.content if row else None,
        reason=row.reason if row else None,
        offers=_offers(connection, edition, row.offers if row else [], guards),
        deliveries=tuple(_deliveries(connection, edition, judge.profile)),
        language=languages.describe_choice(edition, row.content, judge.profile.facts.get("language"))
        if row and row.content and not row.reason
        else "",
        corrected=fact_corrections.corrected_facts(connection, judge.profile.id),
    )


def _offers(
    connection: Connection, edition: Snapshot, chosen: list[list[int]], guards: dict[str, Verdict]
) -> tuple[Offered, ...]:
    facts = profiles.products(connection, [product for product, _ in chosen])
    applying = [guard for guard in edition.rulebook.guards if guards[guard.name].holds]
    offered = []
    for product_id, times in chosen:
        about = facts[product_id]
        forbidding = tuple(guard.name for guard in applying if guard.never.matches(about))
        allowed = tuple(guard.name for guard in applying if guard.name not in forbidding)
        key, name, department, category = (str(about[n] or "") for n in ("key", "name", "department", "category"))
        offered.append(Offered(key, name, department, category, times, allowed, forbidding))
    return tuple(offered)


def _deliveries(connection: Connection, edition: Snapshot, profile: Profile) -> list[str]:
    lines, zone = [], edition.rulebook.company.time_zone
    for run in runs.runs_of(connection, edition.name):
        row = ledger_queries.delivery(connection, run.id, profile.id)
        if row:
            why = f" ({row.reason or row.reply})" if row.reason or row.reply else ""
            at = f"{run.launched_at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
            lines.append(f"run {run.id} of {at}: {row.state}{why}")
    return lines
