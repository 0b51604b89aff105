"""Rewrites a parsed template so that all that can grow passes the meter; what it prints stays the same.

Charged are loops (before they run, for all their turns and what is written in them), lists, joins, slices and
comparisons. Filters, tests and calls are charged by the environment itself (see sandbox).
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.visitor import NodeTransformer

from mailshot.render.budget import BUDGET, COLLECTIONS, DEEPEST_WRITTEN, LONGEST_LIST, NESTED, TURN

_SEARCHED = ("in", "notin")


class Instrument(NodeTransformer):
    """Send loops, lists, joins, slices and comparisons past the meter."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_concat")

    def visit_For(self, node: nodes.For) -> nodes.Node:
        # Every tag and every operation costs something each time, even where it prints nothing.
        weight = sum(len(part.data) if isinstance(part, nodes.TemplateData) else NESTED for part in _parts(node))
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_turns", nodes.Const(weight, lineno=node.lineno))
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return node if _is_plain(node.items) else _filtered(node, "_written")

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return node if node.ctx != "load" or _is_plain(node.items) else _filtered(node, "_written")

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, "_written")

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, "_sliced") if isinstance(node.arg, nodes.Slice) else node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        searched = any(operand.op in _SEARCHED for operand in node.ops)
        if len(sides) == 2 and not searched and any(isinstance(side, nodes.Const) for side in sides):
            return node  # as quick as the word or number that it is compared with is short
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node


class EveryBranch(NodeTransformer):
    """Run all branches of each `if`, and each loop's `else`, one after the other."""

    changed = False

    def visit_If(self, node: nodes.If) -> list[nodes.Node]:
        self.changed = True
        self.generic_visit(node)
        return [*node.body, *node.elif_, *node.else_]

    def visit_For(self, node: nodes.For) -> list[nodes.Node]:
        self.generic_visit(node)
        otherwise, node.else_ = node.else_, []
        self.changed = self.changed or bool(otherwise)
        return [node, *otherwise]


def _filtered(node: nodes.Node, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)


def _weighed(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _filtered(node, "_compared")


def _is_plain(items: list[nodes.Expr]) -> bool:
    return all(isinstance(item, nodes.Const) for item in items)


def _parts(node: nodes.Node) -> Any:
    return node.find_all(nodes.Node)


def turns(items: Any, weight: int) -> object:
    """Charge a loop, before it runs, for all its turns."""
    if isinstance(items, StrictUndefined) or items is None:
        return items
    items = whole(items)
    BUDGET.charge(len(items) * (weight + TURN))
    return items


def whole(items: Any) -> object:
    """Return what can be counted: a list in place of anything that makes its items one by one."""
    return items if hasattr(items, "__len__") else list(islice(items, LONGEST_LIST + 1))


def written(value: Any) -> object:
    """Charge a list, tuple or group that the template writes, and refuse one that is nested too deeply."""
    if isinstance(value, dict):
        for key in value:
            BUDGET.charge_all(key)
    BUDGET.charge_all(value, DEEPEST_WRITTEN)
    return value


def compared(value: Any) -> object:
    """Charge a side of a comparison with all that is in it."""
    BUDGET.charge_all(value)
    return value


def sliced(value: Any) -> object:
    """Charge a slice of a text or list."""
    BUDGET.charge(len(value) * (TURN if isinstance(value, COLLECTIONS) else 1))
    return value


FILTERS = {"_turns": turns, "_written": written, "_compared": compared, "_sliced": sliced}
