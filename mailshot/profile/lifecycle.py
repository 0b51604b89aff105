"""Owns where a customer stands between first look and farewell; refuses to look at anything but purchase dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Stage(StrEnum):
    prospect = "prospect"
    new = "new"
    active = "active"
    lapsing = "lapsing"
    lapsed = "lapsed"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How long a first purchase makes one new, and how long a silence makes one lapsing, then lapsed."""

    new: timedelta = timedelta(days=30)
    lapsing: timedelta = timedelta(days=30)
    lapsed: timedelta = timedelta(days=90)


DEFAULT = Thresholds()


def stage(first: datetime | None, last: datetime | None, as_of: datetime, thresholds: Thresholds = DEFAULT) -> Stage:
    """Return the stage of a customer whose purchases before `as_of` began at `first` and ended at `last`."""
    if first is None or last is None:
        return Stage.prospect
    if last < as_of - thresholds.lapsed:
        return Stage.lapsed
    if last < as_of - thresholds.lapsing:
        return Stage.lapsing
    return Stage.new if first >= as_of - thresholds.new else Stage.active
