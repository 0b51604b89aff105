"""Owns saying among whom the customers of a rule are to be found: all customers, or those who ever bought."""

from __future__ import annotations

from mailshot.audience import nodes
from mailshot.audience.nodes import Condition
from mailshot.profile.history import BOUGHT
from mailshot.profile.lifecycle import Stage

OF_CUSTOMERS = (nodes.FactIs, nodes.Dated, nodes.Share)


def only_buyers(condition: Condition) -> bool:
    """Say whether a rule is true of buyers only and asks for nothing that stands in the row of a customer."""
    return _bought(condition) and not _looks_at_rows(condition)


def _bought(condition: Condition) -> bool:
    if isinstance(condition, nodes.All):
        return any(map(_bought, condition.parts))
    if isinstance(condition, nodes.Any):
        return all(map(_bought, condition.parts))
    if isinstance(condition, nodes.Member):
        return _bought(condition.condition)
    if isinstance(condition, nodes.InStage):
        return Stage.prospect not in condition.stages
    if isinstance(condition, nodes.Not):
        return isinstance(condition.part, nodes.InStage) and Stage.prospect in condition.part.stages
    return isinstance(condition, nodes.Happened) and condition.history is BOUGHT and not condition.holds_for_none


def _looks_at_rows(condition: Condition) -> bool:
    return isinstance(condition, OF_CUSTOMERS) or any(map(_looks_at_rows, condition.inner))
