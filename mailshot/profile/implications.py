"""Which values of a preference or trait follow from which: vegan implies vegetarian, vegetarian implies no_pork.

Only what was said or inferred is stored. What follows from it is worked out when it is read, always from these values,
so that a page, a rule, a guard and the SQL of a rule cannot disagree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Closure:
    """One value with every value that implies it.

    `sources` holds each value that makes this one true, itself first, with all that it implies in turn (itself
    included). Without implications that is the value alone.
    """

    sources: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def value(self) -> str:
        return self.sources[0][0]

    @property
    def implying(self) -> tuple[str, ...]:
        """The values of which each makes this one true, itself first."""
        return tuple(value for value, _ in self.sources)

    @property
    def implied(self) -> tuple[str, ...]:
        """The values that this one makes true, itself first: to deny one of them is to deny this one."""
        return self.sources[0][1]


@dataclass(frozen=True, slots=True)
class Implications:
    """What each value of one preference implies directly. A value that implies nothing need not be listed."""

    direct: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def implied(self, value: str) -> tuple[str, ...]:
        """Return the value and all that follows from it, itself first."""
        reached = {value: None}
        waiting = [value]
        while waiting:
            fresh = [word for word in self.direct.get(waiting.pop(), ()) if word not in reached]
            reached |= dict.fromkeys(fresh)
            waiting += fresh
        return tuple(reached)

    def closure(self, value: str) -> Closure:
        """Return the value with all that imply it."""
        above = [word for word in self.direct if word != value and value in self.implied(word)]
        return Closure(tuple((word, self.implied(word)) for word in (value, *above)))

    def cycle(self) -> tuple[str, ...] | None:
        """Return values that imply each other in a circle, the first one again at the end; None when there is none."""
        for start in self.direct:
            ways: deque[tuple[str, ...]] = deque([(start,)])
            seen = {start}
            while ways:
                way = ways.popleft()
                for word in self.direct.get(way[-1], ()):
                    if word == start:
                        return (*way, word)
                    if word not in seen:
                        seen.add(word)
                        ways.append((*way, word))
        return None


NONE = Implications()


def isolated_closure(value: str) -> Closure:
    """Return the closure of a value that nothing else implies."""
    return NONE.closure(value)


def stated_answer(statements: Mapping[tuple[str, str], bool], name: str, closure: Closure) -> tuple[bool, str] | None:
    """Return what statements say of one value, and which word says it; None when none does.

    Yes to a value is yes to all that it implies; no to a value is no to all that imply it. Where statements clash, yes
    counts: a stored yes is what the customer chose last, and it protects (a vegan gets no meat).
    """
    for word in closure.implying:
        if statements.get((name, word)):
            return True, word
    for word in closure.implied:
        if statements.get((name, word)) is False:
            return False, word
    return None


def decided_answer(statements: Mapping[tuple[str, str], bool], name: str, closure: Closure) -> tuple[bool, str] | None:
    """Return what statements decide about one value, with what was inferred in mind, and which word decides it.

    As `stated_answer`, and another value that holds silences inference for the whole name: a customer who says "I eat
    everything" is no vegetarian.
    """
    answer = stated_answer(statements, name, closure)
    if answer is not None:
        return answer
    others = (value for (other, value), holds in statements.items() if other == name and holds)
    return next(((False, value) for value in others), None)
