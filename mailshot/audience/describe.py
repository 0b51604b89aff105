"""Owns saying a condition in plain words; refuses to say whether it holds."""

from __future__ import annotations

from functools import singledispatch

from mailshot.audience import nodes
from mailshot.audience.nodes import Condition
from mailshot.profile.activity import BOUGHT, MEASURES, RETURNED


@singledispatch
def describe(condition: Condition) -> str:
    """Return the condition as a phrase; groups say only what joins their parts."""
    raise TypeError(condition)


@describe.register
def _all(condition: nodes.All) -> str:
    return "all of:"


@describe.register
def _any(condition: nodes.Any) -> str:
    return "any of:"


@describe.register
def _count(condition: nodes.Count) -> str:
    return f"{condition.comparison.words()} of:"


@describe.register
def _not(condition: nodes.Not) -> str:
    if isinstance(condition.part, nodes.ActivityCondition):
        return "not " + describe(condition.part)
    return "not:"


@describe.register
def _everyone(condition: nodes.Everyone) -> str:
    return "everyone"


@describe.register
def _fact(condition: nodes.FactIs) -> str:
    return f"{condition.fact.name} {condition.comparison.words()}"


@describe.register
def _dated(condition: nodes.Dated) -> str:
    whose = " (customer's time)" if condition.local else ""
    return f"{condition.fact.name} {condition.when.words()}{whose}"


@describe.register
def _stage(condition: nodes.InLifecycle) -> str:
    return f"lifecycle is {' or '.join(condition.stages)}"


@describe.register
def _prefers(condition: nodes.HasPreference) -> str:
    return f"stated {condition.name}: {'' if condition.says else 'not '}{condition.value}"


@describe.register
def _shows(condition: nodes.HasTrait) -> str:
    return f"{condition.name} is {condition.value} (stated, or inferred with confidence {condition.confidence:g})"


@describe.register
def _consents(condition: nodes.HasConsent) -> str:
    return f"consents to {condition.topic}"


@describe.register
def _member(condition: nodes.InAudience) -> str:
    return f"belongs to '{condition.audience}'"


@describe.register
def _share(condition: nodes.RandomShare) -> str:
    return f"is in a random share of {condition.parts / 100:g}%"


@describe.register
def _happened(condition: nodes.ActivityCondition) -> str:
    history = condition.history
    head = history.keyword.replace("_", " ")
    bare = history in (BOUGHT, RETURNED)
    said = [f"{head} {condition.products.words()}" if bare else head]
    if condition.products.filters and not bare:
        said.append(f"of {condition.products.words()}")
    said += [f"{fact.name} {comparison.words()}" for fact, comparison in condition.fields]
    if condition.window.words() != "ever":
        said.append(condition.window.words())
    said += [f"{MEASURES[measure.name]} {measure.comparison.words()}" for measure in condition.measures]
    if condition.untracked:
        said.append("the untracked included")
    return ", ".join(said)
