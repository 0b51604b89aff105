"""Owns in which order the parts of a rule are asked: the cheap ones first; refuses to compile any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mailshot.audience import nodes
from mailshot.audience.nodes import Condition

# What lies deeper stands last, whatever it costs: databases read `a AND b AND c` as `(a AND b) AND c`, so that every
# part after a deep one makes the whole a level deeper.
SHALLOW = 4


def conjuncts(condition: Condition) -> Iterator[Condition]:
    """Give what must hold for a condition to hold, each by itself: of `not: {any: [a, b]}` not a, and not b."""
    if isinstance(condition, nodes.All):
        for part in condition.parts:
            yield from conjuncts(part)
    elif isinstance(condition, nodes.Member):
        yield from conjuncts(condition.condition)
    elif isinstance(condition, nodes.Not) and isinstance(condition.part, nodes.Any):
        for part in condition.part.parts:
            yield from conjuncts(nodes.Not(condition.line, part))
    else:
        yield condition


def arranged(parts: Iterable[Condition], effort: Callable[[Condition], int]) -> list[Condition]:
    """Return the parts by their effort, all that is deep at the end."""
    return sorted(parts, key=lambda part: (part.depth if part.depth > SHALLOW else 0, effort(part)))
