"""IANA time zones by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeVar
from zoneinfo import ZoneInfo, available_timezones

Key = TypeVar("Key")


@cache
def all_zones() -> Mapping[str, ZoneInfo]:
    """Return every zone by its name (IANA)."""
    return {name: ZoneInfo(name) for name in sorted(available_timezones())}


def find_zone(name: object, otherwise: ZoneInfo) -> ZoneInfo:
    """Return the zone of that name, `otherwise` when there is none."""
    return all_zones().get(name, otherwise) if isinstance(name, str) else otherwise


@cache
def _by_letters() -> Mapping[str, str]:
    return {name.casefold(): name for name in all_zones()}


def name_of(text: str) -> str | None:
    """Return the name of the zone that a text is in any case, blanks for underscores; None when there is none."""
    return _by_letters().get("_".join(text.split()).casefold())


def grouped(key: Callable[[ZoneInfo], Key], otherwise: ZoneInfo) -> dict[Key, list[str]]:
    """Return the names of zones by their key. Zones with the key of `otherwise`, usually most of them, are left out."""
    names: dict[Key, list[str]] = {}
    usual = key(otherwise)
    for name, zone in all_zones().items():
        if (value := key(zone)) != usual:
            names.setdefault(value, []).append(name)
    return names
