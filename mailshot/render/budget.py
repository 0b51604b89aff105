"""Limits the work of rendering one part of a mail.

Work is charged by its input, not only by its output: `[q, q]|length` prints one digit and may still walk through a
million items. One unit is about 0.1 microseconds of CPU time, or one character of memory.
"""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import Any

from jinja2.exceptions import SecurityError

MAX_UNITS = 2_000_000
"""What one part may cost: characters printed, captured, joined or read by a filter, and the turns of loops."""
RENDER_SECONDS = 1.5
"""CPU seconds that the parts of one mail may take together, regardless of the budget."""
LOOK_UNITS = 50_000
"""Units between two looks at the clock: a look takes about as long as five units."""
LONGEST_TEXT = 100_000
LONGEST_LIST = 10_000
LARGEST_NUMBER = 10**15
LARGEST_PRINTED = 10**40
DEEPEST = 8
"""Lists inside lists that a filter or comparison takes; our own `groupby` and `batch` make up to six."""
DEEPEST_WRITTEN = 3
"""Lists inside lists that a template may write: `[[[1]]]`."""
TURN = 16
"""One turn of a loop, one call, one item of a list."""
NESTED = 4
"""One item of a list inside a list."""
COLLECTIONS = (list, tuple, dict, range)
NUMBERS = (int, float, Decimal)


SCALARS = frozenset((int, float, bool, type(None)))
"""Types whose values cost nothing to read; whole numbers are short, because templates cannot build long ones."""
SPENT = "the template does more work than a mail may cost"


class TooMuchWork(SecurityError):
    """A part of a mail costs more than it may; another customer's may be cheaper."""


class RenderBudget(threading.local):
    """What the render now running in this thread may still spend."""

    left = MAX_UNITS
    _next_look = MAX_UNITS
    _seconds = float("inf")
    #: None: no look has been taken at the clock of this mail.
    _until: float | None = None

    def start_clock(self, seconds: float = RENDER_SECONDS) -> None:
        """Begin a new mail with a limit of CPU seconds, counted from its first look at the clock.

        Most mails need none: they cost less than `LOOK_UNITS`, and a look takes longer than many of their tags.
        """
        self._seconds, self._until = seconds, None

    def reset(self) -> None:
        """Begin a new part."""
        self.left = MAX_UNITS
        self._next_look = MAX_UNITS - LOOK_UNITS

    def charge(self, cost: int) -> None:
        """Spend, or stop the render. Raises TooMuchWork."""
        self.left -= cost
        if self.left < self._next_look:
            self._next_look = self.left - LOOK_UNITS
            if self.left < 0 or self._is_late():
                raise TooMuchWork(SPENT)

    def _is_late(self) -> bool:
        now = time.thread_time()
        if self._until is None:
            self._until = now + self._seconds
        return now > self._until

    def charge_all(self, value: Any, deepest: int = DEEPEST) -> None:
        """Charge a value with everything in it, as often as it is in it. Raises as `cost_of` does."""
        self.charge(self.cost_of(value, deepest))

    def cost_of(self, value: Any, deepest: int = DEEPEST) -> int:
        """Return what a look at everything in a value costs.

        Raises TooMuchWork when that is more than is left, and for a list that is nested deeper than `deepest` or too
        long.
        """
        if isinstance(value, str):
            return len(value)
        return self._of_items(value, deepest, TURN, self.left) if isinstance(value, COLLECTIONS) else 1

    def _of_items(self, items: Any, deepest: int, each: int, most: int) -> int:
        if deepest == 0:
            raise TooMuchWork("the lists are nested too deeply")
        size = len(items)
        if size > LONGEST_LIST:
            raise TooMuchWork(f"the list has more than {LONGEST_LIST} items")
        cost = size * each
        if type(items) is range:
            return cost
        for item in items.values() if isinstance(items, dict) else items:
            if isinstance(item, str):
                cost += len(item)
            elif isinstance(item, COLLECTIONS):
                cost += self._of_items(item, deepest - 1, NESTED, most - cost)
            if cost > most:
                raise TooMuchWork(SPENT)
        return cost


BUDGET = RenderBudget()


def check_size(name: str, value: object) -> None:
    """Refuse a text, list or number of a size that no mail has. Raises SecurityError that begins with `name`."""
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise SecurityError(f"{name}: the text is longer than {LONGEST_TEXT} characters")
    elif isinstance(value, COLLECTIONS):
        if len(value) > LONGEST_LIST:
            raise SecurityError(f"{name}: the list has more than {LONGEST_LIST} items")
    elif isinstance(value, NUMBERS) and not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise SecurityError(f"{name}: the number is too large")
