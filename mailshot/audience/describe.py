"""Describes a condition in English."""

from __future__ import annotations

from typing import assert_never

from mailshot.audience import nodes
from mailshot.audience.nodes import Condition
from mailshot.profile.activity import MEASURES


def describe(condition: Condition) -> str:
    """Return the condition as a phrase; of a group only what joins its parts ('all of:')."""
    match condition:
        case nodes.All():
            return "all of:"
        case nodes.Any():
            return "any of:"
        case nodes.Count():
            return f"{condition.comparison.words()} of:"
        case nodes.Not():
            return f"not {_activity(condition.part)}" if isinstance(condition.part, nodes.ActivityCondition) else "not:"
        case nodes.ActivityCondition():
            return _activity(condition)
        case nodes.FactIs():
            return f"{condition.fact.name} {condition.comparison.words()}"
        case nodes.Dated():
            zone = " (customer's time)" if condition.local else ""
            return f"{condition.fact.name} {condition.when.words()}{zone}"
        case nodes.InLifecycle():
            return f"lifecycle is {' or '.join(condition.stages)}"
        case nodes.HasPreference():
            return f"stated {condition.name}: {'' if condition.says else 'not '}{condition.value}"
        case nodes.HasTrait():
            source = f"stated, or inferred with confidence {condition.confidence:g}"
            return f"{condition.name} is {condition.value} ({source})"
        case nodes.HasConsent():
            return f"consents to {condition.topic}"
        case nodes.InAudience():
            return f"belongs to '{condition.audience}'"
        case nodes.RandomShare():
            return f"is in a random share of {condition.parts / 100:g}%"
        case nodes.Everyone():
            return "everyone"
        case _:
            assert_never(condition)


def _activity(condition: nodes.ActivityCondition) -> str:
    kind = condition.history
    phrases = [f"{kind.verb} {condition.products.words()}" if kind.in_orders else kind.verb]
    if condition.products.filters and not kind.in_orders:
        phrases.append(f"of {condition.products.words()}")
    phrases += [f"{fact.name} {comparison.words()}" for fact, comparison in condition.fields]
    if condition.window.words() != "ever":
        phrases.append(condition.window.words())
    phrases += [f"{MEASURES[aggregate.name]} {aggregate.comparison.words()}" for aggregate in condition.measures]
    if condition.untracked:
        phrases.append("including untracked customers")
    return ", ".join(phrases)
