"""The lifecycle stage of a customer, from the dates of the first and last purchase."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailshot.facts.periods import Span


class Stage(StrEnum):
    prospect = "prospect"
    new = "new"
    active = "active"
    lapsing = "lapsing"
    lapsed = "lapsed"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How long after the first purchase a customer is new, and after the last one not yet lapsing or lapsed."""

    new: Span
    lapsing: Span
    lapsed: Span


DEFAULT = Thresholds(new=Span(30, "day"), lapsing=Span(30, "day"), lapsed=Span(90, "day"))


def stage(first: datetime | None, last: datetime | None, as_of: datetime, thresholds: Thresholds = DEFAULT) -> Stage:
    """Return the stage of a customer whose purchases before `as_of` began at `first` and ended at `last`."""
    if first is None or last is None:
        return Stage.prospect
    if last < thresholds.lapsed.before(as_of):
        return Stage.lapsed
    if last < thresholds.lapsing.before(as_of):
        return Stage.lapsing
    return Stage.new if first >= thresholds.new.before(as_of) else Stage.active
