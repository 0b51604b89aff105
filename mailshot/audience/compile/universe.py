"""Owns saying among whom the customers of a rule are looked for; refuses to look."""

from __future__ import annotations

from dataclasses import dataclass

from mailshot.audience import nodes
from mailshot.audience.compile.columns import Clause
from mailshot.audience.compile.schema import Column
from mailshot.audience.nodes import Condition
from mailshot.profile.history import BOUGHT
from mailshot.profile.lifecycle import Stage

OF_ROWS = (nodes.FactIs, nodes.Dated, nodes.RandomShare)


@dataclass(frozen=True, slots=True)
class Scope:
    """Everybody named by `id`: all customers (their `rows` are at hand), all buyers (their `sums` are), or a few.

    Of them only those whose id lies in `ids`; None: all.
    """

    id: Column
    rows: bool = False
    sums: bool = False
    ids: range | None = None

    def holds(self, customer: Column) -> list[Clause]:
        """Return the clauses that are true of the customers in `ids`, for the key of any table."""
        return [] if self.ids is None else [customer >= self.ids.start, customer < self.ids.stop]


def only_buyers(condition: Condition) -> bool:
    """Say whether a rule is true of buyers only."""
    if isinstance(condition, nodes.All):
        return any(map(only_buyers, condition.parts))
    if isinstance(condition, nodes.Any):
        return all(map(only_buyers, condition.parts))
    if isinstance(condition, nodes.InAudience):
        return only_buyers(condition.condition)
    if isinstance(condition, nodes.InLifecycle):
        return Stage.prospect not in condition.stages
    if isinstance(condition, nodes.Not):
        return isinstance(condition.part, nodes.InLifecycle) and Stage.prospect in condition.part.stages
    return (
        isinstance(condition, nodes.ActivityCondition) and condition.history is BOUGHT and not condition.matches_empty
    )


def of_rows(condition: Condition) -> bool:
    """Say whether a condition asks only for what stands in the row of a customer."""
    return isinstance(condition, OF_ROWS) or (bool(condition.children) and all(map(of_rows, condition.children)))
