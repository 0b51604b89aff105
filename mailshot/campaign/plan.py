"""The dry run of a campaign: who would get which content, and why others would get no mail. Start at `make_plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mailshot.audience.compile import Compiler
from mailshot.campaign import dependencies, languages, offers, plan_diff, preview, schedule_diff
from mailshot.campaign.languages import LanguageUse
from mailshot.campaign.offers import OfferSpec
from mailshot.campaign.plan_diff import CompareTo, PlanDiff, Previous
from mailshot.campaign.preview import Trial
from mailshot.campaign.schedule_diff import Scheduled
from mailshot.campaign.snapshot import Snapshot
from mailshot.errors import MailshotError
from mailshot.render.mailing import Mailing
from mailshot.states import Reason
from mailshot.store import audiences, eligibility_rows, plan_gates, plans, runs, snapshots
from mailshot.store import offers as offer_rows
from mailshot.store.engine import Connection, Store
from mailshot.store.offers import Forbidden
from mailshot.store.plan_gates import ContentChoice, PlanSpec
from mailshot.store.plans import PlanHead

#: Of an ordinary SMTP server, for the estimate of a campaign without a rate limit.
SECONDS_PER_MAIL = 0.004


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """What a launch would do."""

    id: str
    campaign: str
    as_of: datetime
    #: Of the whole database.
    customers: int
    audience: int
    #: Mails by content.
    contents: Mapping[str, int]
    #: Customers of the audience by the reason for no mail.
    left_out: Mapping[str, int]
    #: Customers who "entered", "left" or "changed" content since the plan that `compared_with` names.
    changes: Mapping[str, int] | None
    #: In words.
    schedule: str
    #: How long sending would take.
    seconds: float
    findings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    next_at: datetime | None = field(default=None)
    moves: PlanDiff | None = None
    scheduled: Scheduled | None = None
    compared_with: str | None = None
    #: By content, of mails with translations.
    languages: Mapping[str, LanguageUse] = field(default_factory=dict)
    #: Bytes of pictures and attachments in each mail, by content; only contents that have some.
    enclosed: Mapping[str, int] = field(default_factory=dict)

    @property
    def mails(self) -> int:
        return sum(self.contents.values())

    def as_dict(self) -> dict[str, Any]:
        """Return it for a script: plain values only."""
        plain = {
            name: getattr(self, name) for name in ("id", "campaign", "customers", "audience", "schedule", "seconds")
        }
        due = self.next_at.isoformat() if self.next_at else None
        return {
            **plain, "as_of": self.as_of.isoformat(), "mails": self.mails, "contents": dict(self.contents),
            "left_out": dict(self.left_out), "changes": dict(self.changes) if self.changes else None,
            "compared_with": self.compared_with,
            "scheduled": self.scheduled.as_dict() if self.scheduled else None,
            "languages": {content: use.as_dict() for content, use in self.languages.items()},
            "next_at": due, "findings": list(self.findings), "errors": list(self.errors),
            "enclosed_bytes": dict(self.enclosed),
        }  # fmt: skip


def make_plan(
    store: Store, edition: Snapshot, as_of: datetime, now: datetime, wanted: CompareTo | None = None
) -> CampaignPlan:
    """Plan a campaign as of a moment, and store the plan; `wanted` says what to compare it with, customer by customer.

    Raises InvalidInput for a schedule in the past, and what `moves.since` raises.
    """
    mailing, zone = edition.mailing(), edition.rulebook.company.time_zone
    next_at = first_due(edition, now)
    with store.write() as connection:
        plan_id = plan_id_of(connection, edition, as_of)
        before = plan_diff.previous(connection, edition.name, plan_id)
        decide_plan(connection, edition, plan_id, as_of)
        # Before `record_plan`, which deletes the rows of all but the last two plans.
        moved = plan_diff.since(connection, edition, plan_id, before, as_of, wanted) if wanted else None
        used, errors = _checked(Trial(connection, edition, mailing, as_of, now), plan_id)
        record_plan(connection, edition, plan_id, as_of, now, errors)
        contents, left_out = _counts(connection, plan_id, edition)
        changes = _changes(connection, plan_id, before)
        customers, scheduled = audiences.customers(connection), schedule_diff.compare_schedule(connection, edition)
    return CampaignPlan(
        id=plan_id,
        campaign=edition.name,
        as_of=as_of.astimezone(zone),
        customers=customers,
        audience=sum((*contents.values(), *left_out.values())),
        contents=contents,
        left_out=left_out,
        changes=changes,
        schedule=edition.read.campaign.schedule.words(zone),
        seconds=duration(edition, sum(contents.values())),
        findings=tuple(_remarks(mailing, "warning")),
        errors=tuple(errors),
        next_at=next_at and next_at.astimezone(zone),
        moves=moved,
        scheduled=scheduled,
        compared_with=before.label(zone) if before else None,
        languages=used,
        enclosed=mailing.enclosed_bytes(),
    )


def record_plan(
    connection: Connection, edition: Snapshot, plan_id: str, as_of: datetime, now: datetime, errors: Sequence[str] = ()
) -> None:
    """Store the head of a plan whose rows are decided; while it has errors it cannot be launched."""
    parts = dependencies.part_digests(edition)
    head = PlanHead(plan_id, edition.name, snapshots.digest_body(parts), as_of, now, tuple(errors), parts)
    plans.replace_plan(connection, head)


def plan_id_of(connection: Connection, edition: Snapshot, as_of: datetime) -> str:
    """Return the id of a plan: the same until what decides about the campaign changes, or it is launched.

    That is its rules and templates (see `dependencies`) and a fixed `as_of`; other campaigns do not matter.
    """
    fixed = edition.read.campaign.as_of or edition.rulebook.company.as_of
    today = as_of.astimezone(UTC).isoformat() if fixed else ""
    return snapshots.digest_body([dependencies.digest_parts(edition), today, runs.launches(connection, edition.name)])[
        :12
    ]


def decide_plan(connection: Connection, edition: Snapshot, plan_id: str, as_of: datetime) -> None:
    """Decide for every customer of the audience, then choose the offers, then check the guards again."""
    compiler = audiences.compiler(as_of, edition.rulebook.company.time_zone)
    compiled = audiences.with_statistics(connection, compiler)
    plans.write_decisions(connection, plan_id, compiled, question(connection, edition, as_of))
    forbidden: list[Forbidden] = [(guard.customers, guard.never) for guard in edition.rulebook.guards]
    for demand in _demands(edition, as_of):
        offers.choose(connection, compiled, plan_id, demand, forbidden)
    plan_gates.one_per_inbox(connection, plan_id)
    # Products may have changed meanwhile.
    _verify_guards(connection, audiences.with_statistics(connection, compiler), plan_id, forbidden)


def verdict(
    connection: Connection, edition: Snapshot, customer_id: int, as_of: datetime
) -> tuple[str | None, str | None]:
    """Return the content and reason that a plan would decide for one customer now; neither outside the audience.

    Whether enough offers are left is not checked.
    """
    compiler = audiences.compiler(as_of, edition.rulebook.company.time_zone)
    asked = question(connection, edition, as_of)

    def decided(number: int) -> tuple[str | None, str | None]:
        compiled = compiler.within(range(number, number + 1))
        row = connection.execute(plans.select_decisions(compiled, asked)).first()
        return (row.content, row.reason) if row else (None, None)

    content, reason = decided(customer_id)
    # The first customer of an inbox is mailed, or held out for all.
    earlier = eligibility_rows.earlier(connection, customer_id) if plans.represents_inbox(content, reason) else ()
    if any(plans.represents_inbox(*decided(mate)) for mate in earlier):
        reason = str(Reason.same_address)
    return content, reason


def duration(edition: Snapshot, mails: int) -> float:
    """Estimate the seconds a run takes: by its rate limit, else by an ordinary server."""
    rate = edition.read.campaign.limits.rate
    return mails * 60 / rate if rate else mails * SECONDS_PER_MAIL


def question(connection: Connection, edition: Snapshot, as_of: datetime) -> PlanSpec:
    """Return all that decides about a campaign as of a moment."""
    campaign = edition.read.campaign
    choices = tuple(
        ContentChoice(item.name, edition.read.when.get(item.name), _barred(connection, edition, item.name))
        for item in campaign.content
    )
    return PlanSpec(
        campaign=campaign.campaign,
        audience=edition.read.audience.condition,
        gates=edition.gates,
        choices=choices,
        holdout=campaign.holdout,
        repeats=campaign.repeats,
        received_since=campaign.received_since(as_of, edition.rulebook.company.time_zone),
    )


def _barred(connection: Connection, edition: Snapshot, content: str) -> tuple[Any, ...]:
    """Return the customers of the guards that forbid the products which a content is about."""
    about = edition.read.about.get(content)
    if about is None:
        return ()
    return tuple(guard.customers for guard in edition.rulebook.guards if plans.overlap(connection, about, guard.never))


def _demands(edition: Snapshot, as_of: datetime) -> list[OfferSpec]:
    campaign = edition.read.campaign
    specs = []
    for name, entry in campaign.offers.items():
        users = tuple(item.name for item in campaign.content if item.offers == name)
        since = entry.bought_within.before(as_of)
        products = edition.read.offered[name]
        specs.append(OfferSpec(users, products, since, entry.take, entry.at_least, entry.fill))
    return [spec for spec in specs if spec.contents]


def _verify_guards(connection: Connection, compiled: Compiler, plan_id: str, forbidden: list[Forbidden]) -> None:
    number = offer_rows.forbidden_offered(connection, plan_id, compiled, forbidden)
    if number:
        raise MailshotError(
            f"{number} offers break a guard; nothing was planned.", "This is a bug in Mailshot; please report it."
        )


def _counts(connection: Connection, plan_id: str, edition: Snapshot) -> tuple[dict[str, int], dict[str, int]]:
    contents = {item.name: 0 for item in edition.read.campaign.content}
    left_out: dict[str, int] = {}
    for content, reason, number in plans.count_decisions(connection, plan_id):
        if reason is None:
            contents[content or ""] = number
        else:
            left_out[reason] = left_out.get(reason, 0) + number
    return contents, dict(sorted(left_out.items(), key=lambda item: -item[1]))


def _changes(connection: Connection, plan_id: str, before: Previous | None) -> dict[str, int] | None:
    """Count the changes since the plan before, None without one, and delete its rows if they were set aside."""
    changes = plans.count_changes(connection, plan_id, before.rows) if before else None
    plan_diff.drop_previous(connection, before)
    return changes


def _checked(trial: Trial, plan_id: str) -> tuple[dict[str, LanguageUse], list[str]]:
    """Return who gets which version, and the errors of the templates and of samples of each."""
    used = languages.count_languages(trial.connection, trial.edition, plan_id)
    return used, [*_remarks(trial.mailing, "error"), *preview.sample_errors(trial, plan_id, used)]


def _remarks(mailing: Mailing, level: str) -> list[str]:
    """Return the findings of a level as texts, each with its content and its line."""
    return [f"{name}: {finding.as_problem()}" for name, found in mailing.findings(level).items() for finding in found]


def first_due(edition: Snapshot, now: datetime) -> datetime | None:
    """Return when the schedule is first due, None for now. Raises InvalidInput when that moment has passed."""
    schedule = edition.read.campaign.schedule
    first = schedule.next_after(now, edition.rulebook.company.time_zone)
    if schedule.at is not None and first is None:
        document = edition.rulebook.campaigns[edition.name]
        problems = document.problems()
        node = document.at("schedule", "at")
        problems.add(node, "this moment has passed", "Choose a later one, or 'schedule: now'.")
        problems.raise_if_any()
    return first
