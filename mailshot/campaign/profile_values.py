"""What a mail can say about its customer besides facts: answers, traits, consents, lifecycle, and the last order.

Each name means in a template what it means in a rule: a vegan is a vegetarian, an answer overrides what was inferred,
and a returned product was not bought. Values are loaded for many customers at once, and only those that a mail uses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from mailshot.audience.parse.conditions import DEFAULT_CONFIDENCE
from mailshot.campaign import snapshot
from mailshot.campaign.snapshot import LIFECYCLE
from mailshot.profile import lifecycle
from mailshot.profile.customer import Profile
from mailshot.profile.implications import Closure, decided_answer, stated_answer
from mailshot.profile.topics import TRACKING, ConsentEntry, may_mail
from mailshot.render.compose import ProfileValues
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import consent, last_orders, preferences
from mailshot.store.engine import Connection
from mailshot.store.runs import RunRecord

#: Beginnings of the dotted names that are not facts.
NAMES = ("preference.", "trait.", "consent.", "last_order.", LIFECYCLE)


def load(
    connection: Connection, rulebook: Rulebook, used: Collection[str], customer_ids: Sequence[int], as_of: datetime
) -> dict[int, ProfileValues]:
    """Return the values of the groups to which the dotted names in `used` belong, by customer.

    Orders count up to `as_of`, the date for which the audience was selected. Answers and consents are the latest, so
    that the mail reflects what customers answered after the launch.
    """
    groups = {name.partition(".")[0] for name in used}
    loaded: dict[int, ProfileValues] = {customer_id: {} for customer_id in customer_ids}
    answers = {group: _closures(rulebook, group, used) for group in ("preference", "trait") if group in groups}
    if answers:
        for customer_id, profile in _profiles(connection, customer_ids).items():
            loaded[customer_id] |= {
                group: {name: _ANSWERS[group](profile, name, closures) for name, closures in by_name.items()}
                for group, by_name in answers.items()
            }
    if "consent" in groups:
        for customer_id, entries in consent.binding_entries_of(connection, customer_ids).items():
            loaded[customer_id]["consent"] = _consents(rulebook, entries)
    if LIFECYCLE in used:
        spans, zone = last_orders.purchase_spans(connection, customer_ids, as_of), rulebook.company.time_zone
        for customer_id in customer_ids:
            first, last = spans.get(customer_id, (None, None))
            stage = lifecycle.stage(first, last, as_of.astimezone(zone), rulebook.company.lifecycle.thresholds)
            loaded[customer_id]["customer"] = {"lifecycle": str(stage)}
    if "last_order" in groups:
        for customer_id, order in last_orders.last_orders(connection, customer_ids, as_of).items():
            loaded[customer_id]["last_order"] = {"at": order.at, "amount": order.amount, "products": order.products}
    return loaded


def load_for_run(
    connection: Connection, run: RunRecord, used: Collection[str], customer_ids: Sequence[int]
) -> dict[int, ProfileValues]:
    """Return the same for a run, with the rules that were frozen with it."""
    if not any(name.startswith(NAMES) for name in used):
        return {}
    frozen = snapshot.load_frozen(connection, run.definition)
    return load(connection, frozen.rulebook, used, customer_ids, run.as_of)


def _profiles(connection: Connection, customer_ids: Sequence[int]) -> dict[int, Profile]:
    """Return profiles that hold stated answers and traits only."""
    stated = preferences.stated_answers_of(connection, customer_ids)
    traits = preferences.trait_values_of(connection, customer_ids)
    return {
        customer_id: Profile(customer_id, 0, {}, preferences=stated[customer_id], traits=traits[customer_id])
        for customer_id in customer_ids
    }


def _closures(rulebook: Rulebook, group: str, used: Collection[str]) -> dict[str, list[Closure]]:
    """Return the values of each answer or trait that a mail names, with what they imply.

    A trait that may have any value has none listed.
    """
    words = rulebook.vocabulary
    values_by_name = words.preferences if group == "preference" else words.traits
    names = {parts[1] for parts in (name.split(".") for name in used) if parts[0] == group and len(parts) > 1}
    return {name: [words.closure(name, value) for value in values_by_name[name]] for name in sorted(names)}


def _stated(profile: Profile, name: str, closures: Sequence[Closure]) -> dict[str, bool | None]:
    """Return by value whether an answer holds; None where the customer said neither yes nor no."""
    answers = {closure.value: stated_answer(profile.preferences, name, closure) for closure in closures}
    return {value: answer[0] if answer else None for value, answer in answers.items()}


def _inferred(profile: Profile, name: str, closures: Sequence[Closure]) -> dict[str, bool] | str | None:
    """Return by value whether a trait holds; of a trait that may have any value, the surest one."""
    return {closure.value: _holds(profile, name, closure) for closure in closures} or _surest(profile, name)


def _holds(profile: Profile, name: str, closure: Closure) -> bool:
    """Return whether a trait holds, as the rule `trait: {name: value}` decides it."""
    decided = decided_answer(profile.preferences, name, closure)
    if decided is not None:
        return decided[0]
    inferred = profile.inferred(name, closure)
    return inferred is not None and inferred[1].confidence >= DEFAULT_CONFIDENCE


def _surest(profile: Profile, name: str) -> str | None:
    """Return the value of a trait that may have any value: the stated one, or else the most confident one."""
    stated = next((value for (other, value), holds in profile.preferences.items() if other == name and holds), None)
    if stated is not None:
        return stated
    inferred = {
        value: trait.confidence
        for (other, value), trait in profile.traits.items()
        if other == name and trait.confidence >= DEFAULT_CONFIDENCE and (name, value) not in profile.preferences
    }
    return max(inferred, key=lambda value: (inferred[value], value), default=None)


def _consents(rulebook: Rulebook, entries: Mapping[str, ConsentEntry]) -> dict[str, bool]:
    tracking = entries.get(TRACKING)
    topics = {topic.name: may_mail(topic, entries.get(topic.name)) for topic in rulebook.topics}
    return topics | {TRACKING: tracking is not None and tracking.given}


_ANSWERS: Mapping[str, Callable[[Profile, str, Sequence[Closure]], object]] = {
    "preference": _stated,
    "trait": _inferred,
}
