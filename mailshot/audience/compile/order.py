"""Owns in which order the parts of a rule are asked: the cheap ones first; refuses to compile any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mailshot.audience import nodes
from mailshot.audience.nodes import Condition

# What lies deeper stands last, whatever it costs: databases read `a AND b AND c` as `(a AND b) AND c`, so that every
# part after a deep one makes the whole a level deeper.
SHALLOW = 4


Told = Callable[[Condition], nodes.All | None]


def conjuncts(condition: Condition, told: Told) -> Iterator[Condition]:
    """Give what must hold for a condition to hold, each by itself: of `not: {any: [a, b]}` not a, and not b.

    `told` says what one condition is told by, when it is told by several.
    """
    if isinstance(condition, nodes.All):
        for part in condition.parts:
            yield from conjuncts(part, told)
    elif isinstance(condition, nodes.InAudience):
        yield from conjuncts(condition.condition, told)
    elif isinstance(condition, nodes.Not) and isinstance(condition.part, nodes.Any):
        for part in condition.part.parts:
            yield from conjuncts(nodes.Not(condition.line, part), told)
    elif several := told(condition):
        yield from several.parts
    else:
        yield condition


def by_cost(parts: Iterable[Condition], effort: Callable[[Condition], int]) -> list[Condition]:
    """Return the parts by their effort, all that is deep at the end."""
    return sorted(parts, key=lambda part: (part.depth if part.depth > SHALLOW else 0, effort(part)))
