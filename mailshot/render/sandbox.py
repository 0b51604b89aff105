"""Owns what a template may do and how much; refuses everything that is not on its lists.

Jinja's sandbox keeps a template from reaching Python; this one also keeps it from eating time and memory. Whatever can
grow (joining, padding, loops, captured text) is charged to a meter, and a render that spends its meter stops.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence, Sized
from decimal import Decimal
from itertools import islice
from typing import Any

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape

from mailshot.render import filters

LARGEST_OUTPUT = 1_000_000
"""Characters of one rendered part."""
BUDGET = 2_000_000
"""What one part may cost: characters printed, captured or joined, and 16 for each turn of a loop."""
LONGEST_TEXT = 100_000
LONGEST_LIST = 10_000
LARGEST_NUMBER = 10**15
LONGEST_RANGE = 1_000
TURN = 16
_COLLECTIONS = (list, tuple, dict, range)
_NUMBERS = (int, float, Decimal)
METHODS = frozenset(
    {
        "capitalize", "cycle", "changed", "endswith", "get", "items", "keys", "lower", "lstrip", "rstrip", "split",
        "startswith", "strip", "title", "upper", "values",
    }
)  # fmt: skip
"""The only methods a template may call, on text, groups of facts and `loop`."""


class Meter(threading.local):
    """What the render now running in this thread may still spend."""

    left = BUDGET

    def reset(self) -> None:
        """Begin a new part."""
        self.left = BUDGET

    def charge(self, cost: int) -> None:
        """Spend, or stop the render."""
        self.left -= cost
        if self.left < 0:
            raise SecurityError("the template does more work than a mail may cost")


METER = Meter()


@pass_context
def finalize(context: Context, value: object) -> object:
    """Charge what is printed; print nothing for a fact that is not known (None), dates and numbers as people do."""
    if value is None:
        return ""
    value = filters.spelled(context, value)
    if isinstance(value, str):
        METER.charge(len(value))
    else:
        METER.charge(len(str(value)) if isinstance(value, _COLLECTIONS) else TURN)
    return value


def _turns(items: Any, weight: int) -> Any:
    """Charge a loop, before it runs, for all its turns."""
    if isinstance(items, StrictUndefined) or items is None:
        return items
    if not isinstance(items, Sized):
        items = list(islice(items, LONGEST_LIST + 1))
    METER.charge(len(items) * (weight + TURN))
    return items


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter so that neither its arguments nor its result can be huge."""

    def bounded(*arguments: Any, **options: Any) -> Any:
        for argument in arguments:
            _check(name, argument)
        for argument in options.values():
            _check(name, argument)
        result = function(*arguments, **options)
        if isinstance(result, str):
            METER.charge(len(result))
        return result

    if hasattr(function, "jinja_pass_arg"):
        bounded.jinja_pass_arg = function.jinja_pass_arg  # type: ignore[attr-defined]
    return bounded


def _check(name: str, value: object) -> None:
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise SecurityError(f"{name}: the text is longer than {LONGEST_TEXT} characters")
    elif isinstance(value, _COLLECTIONS):
        if len(value) > LONGEST_LIST:
            raise SecurityError(f"{name}: the list has more than {LONGEST_LIST} items")
    elif isinstance(value, _NUMBERS) and not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise SecurityError(f"{name}: the number is too large")


@pass_context
def _concat(context: Context, values: Sequence[object]) -> str:
    """Join as `~` does, dates and numbers as a person writes them: escaped when any part is."""
    parts = [filters.spelled(context, part) for part in values]
    METER.charge(sum(len(part) for part in parts if isinstance(part, str)))
    if any(isinstance(part, Markup) for part in parts):
        return Markup("").join("" if part is None else escape(part) for part in parts)
    return "".join("" if part is None else str(part) for part in parts)


def bounded_range(*arguments: int) -> range:
    """Count as Python's range does, to at most a thousand."""
    found = range(*arguments)
    if len(found) > LONGEST_RANGE:
        raise SecurityError(f"range: at most {LONGEST_RANGE} numbers")
    return found


def _exact(number: Any) -> Any:
    """Turn a number that meets an exact one into an exact one."""
    return Decimal(str(number)) if isinstance(number, float) else number


class _Guard(NodeTransformer):
    """Send every join and every loop past the meter."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "_concat", [], [], None, None, lineno=node.lineno)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        weight = sum(len(text.data) for text in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        cost = nodes.Const(weight, lineno=node.lineno)
        node.iter = nodes.Filter(node.iter, "_turns", [cost], [], None, None, lineno=node.lineno)
        return node


class MailEnvironment(ImmutableSandboxedEnvironment):
    """Jinja with our filters, one global, and a meter."""

    intercepted_binops = frozenset(["+", "*", "%", "**", "/", "//", "-"])

    def __init__(self, autoescape: bool) -> None:
        super().__init__(
            autoescape=autoescape,
            undefined=StrictUndefined,
            optimized=False,
            keep_trailing_newline=True,
            finalize=finalize,
        )
        allowed = filters.allowed(self.filters, autoescape)
        self.filters = {name: _bounded(name, function) for name, function in allowed.items()}
        self.filters |= {"_concat": _concat, "_turns": _turns}
        self.globals = {"range": bounded_range, "_plain": filters.plain}

    def guarded(self, tree: nodes.Template) -> nodes.Template:
        """Rewrite a parsed template so that its joins and loops are charged."""
        guarded: nodes.Template = _Guard().visit(tree)
        return guarded

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Read a fact of a group before anything Python knows by that name."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Let through only what a fact, `loop` or an allowed method is."""
        return not attr.startswith("_") and super().is_safe_attribute(obj, attr, value)

    def is_safe_callable(self, obj: Any) -> bool:
        """Let through our own functions and the few methods on the list."""
        if getattr(obj, "mail_function", False) or obj is bounded_range:
            return True
        return getattr(obj, "__self__", None) is not None and getattr(obj, "__name__", "") in METHODS

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Calculate with numbers of a human size; join short texts and lists."""
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            METER.charge(len(left) + len(right))
        elif operator == "+" and isinstance(left, list) and isinstance(right, list):
            METER.charge(TURN * (len(left) + len(right)))
        elif operator == "**" or not (isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS)):
            raise SecurityError(
                "no powers in a mail" if operator == "**" else f"'{operator}' works on two numbers only"
            )
        elif isinstance(left, Decimal) or isinstance(right, Decimal):
            left, right = _exact(left), _exact(right)
        _check(operator, left)
        _check(operator, right)
        return super().call_binop(context, operator, left, right)


HTML = MailEnvironment(autoescape=True)
TEXT = MailEnvironment(autoescape=False)
