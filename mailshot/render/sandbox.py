"""The Jinja sandbox: what a template may call, within a budget of time and memory.

Jinja's own sandbox keeps a template from reaching Python. Ours also limits cost: everything that can grow (joining,
padding, loops, captured text) is charged to the budget, and a render that spends it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, ItemsView, KeysView, Sequence, ValuesView
from decimal import Decimal
from typing import Any

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from mailshot.render import filters, instrument, links
from mailshot.render.budget import (
    BUDGET,
    COLLECTIONS,
    LARGEST_NUMBER,
    LARGEST_PRINTED,
    LONGEST_TEXT,
    NUMBERS,
    SCALARS,
    TURN,
    check_size,
)

LARGEST_OUTPUT = 1_000_000
"""Characters of one rendered part."""
LONGEST_RANGE = 1_000
SHORT = 200
"""Characters of a text that need not be charged when made: it is when it is printed."""
CALL = 50
PRINTED = 300
"""Units of a call, and of writing a date or a number as people do."""
LONGEST_KEY = 200
"""Characters of a name that is looked up, and of a text given to a method."""
METHODS = frozenset(
    {
        "capitalize", "cycle", "changed", "endswith", "get", "items", "keys", "lower", "lstrip", "rstrip", "split",
        "startswith", "strip", "title", "upper", "values",
    }
)  # fmt: skip
"""The only methods a template may call, on text, groups of facts and `loop`."""


@pass_context
def finalize(context: Context, value: object) -> object:
    """Charge what is printed; print nothing for a fact that is not known (None), dates and numbers as people do."""
    kind = type(value)
    if kind is str or kind is Markup:
        BUDGET.charge(len(value) + TURN)  # type: ignore[arg-type]
        return value
    if value is None:
        return ""
    if isinstance(value, NUMBERS) and _is_huge(value):
        raise SecurityError("the number is too large to print")
    printed = filters.as_people_write(context, value)
    if isinstance(printed, COLLECTIONS):
        BUDGET.charge_all(printed)
        BUDGET.charge(len(str(printed)))
    else:
        BUDGET.charge(PRINTED if printed is not value else TURN)
    return printed


def _is_huge(value: Any) -> bool:
    return bool(abs(value) > LARGEST_PRINTED)


def _bounded(name: str, function: Callable[..., Any], shallow: Collection[str]) -> Callable[..., Any]:
    """Wrap a filter or test so that neither its arguments nor its result can be huge, and charge both.

    One in `shallow` does not look into the items of a list.
    """
    cost, each, grows = filters.COSTS.get(name, TURN), name in shallow, name in filters.GROWING
    passed = hasattr(function, "jinja_pass_arg")

    def bounded(*arguments: Any, **options: Any) -> object:
        spent = cost
        for value in (*arguments, *options.values()) if options else arguments:
            kind = type(value)
            if kind is str or kind is Markup:
                spent += len(value)
                if spent > LONGEST_TEXT:
                    check_size(name, value)
            elif kind is int:
                if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
                    check_size(name, value)
            elif kind not in SCALARS:
                if hasattr(value, "__next__"):
                    return bounded(*(instrument.whole(one) if one is value else one for one in arguments), **options)
                check_size(name, value)
                spent += TURN * len(value) if each and isinstance(value, COLLECTIONS) else BUDGET.cost_of(value)
        if grows:
            spent += filters.growth(name, *arguments[passed:], *options.values())
        BUDGET.charge(spent)
        result = function(*arguments, **options)
        if type(result) is list:
            BUDGET.charge(TURN * len(result))
        elif isinstance(result, str) and len(result) > SHORT:
            BUDGET.charge(len(result))
        return result

    if passed:
        bounded.jinja_pass_arg = function.jinja_pass_arg  # type: ignore[attr-defined]
    return bounded


@pass_context
def _concat(context: Context, values: Sequence[object]) -> str:
    """Join as `~` does, dates and numbers as a person writes them: escaped when any part is."""
    parts = [filters.as_people_write(context, part) for part in values]
    written = PRINTED * sum(part is not value for part, value in zip(parts, values, strict=True))
    BUDGET.charge(written + sum(len(part) if isinstance(part, str) else BUDGET.cost_of(part) for part in parts))
    if any(isinstance(part, Markup) for part in parts):
        return Markup("").join("" if part is None else escape(part) for part in parts)
    return "".join("" if part is None else str(part) for part in parts)


def bounded_range(*arguments: int) -> range:
    """Count as Python's range does, to at most a thousand."""
    numbers = range(*arguments)
    if len(numbers) > LONGEST_RANGE:
        raise SecurityError(f"range: at most {LONGEST_RANGE} numbers")
    return numbers


def _as_decimal(number: Any) -> object:
    """Turn a number that meets an exact one into an exact one."""
    return Decimal(str(number)) if isinstance(number, float) else number


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
        self.filters = {name: _bounded(name, function, filters.SHALLOW) for name, function in allowed.items()}
        self.filters |= {"_concat": _concat, **instrument.FILTERS}
        tests: Any = self.tests
        self.tests = {name: _bounded(name, test, filters.SHALLOW_TESTS) for name, test in tests.items()}
        self.globals = {
            "range": bounded_range,
            "_plain": filters.as_machines_write,
            "_in_path": links.in_path,
            "_in_query": links.in_query,
        }

    def instrumented(self, tree: nodes.Template) -> nodes.Template:
        """Rewrite a parsed template so that its loops, lists, joins, slices and comparisons are charged."""
        instrumented: nodes.Template = instrument.Instrument().visit(tree)
        return instrumented

    def getattr(self, obj: Any, attribute: str) -> object:
        """Read a fact of a group before anything Python knows by that name."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> object:
        """Look up by a name or number of a human size; an unknown one is repeated in an error."""
        if not isinstance(argument, (str, *NUMBERS)) or (isinstance(argument, str) and len(argument) > LONGEST_KEY):
            raise SecurityError("only a number or a short text is allowed in [ ]")
        return super().getitem(obj, argument)

    def call(self, context: Context, obj: Any, /, *arguments: Any, **options: Any) -> object:
        """Call a function or method, charged for what it works on and what it is given."""
        options.pop("_loop_vars", None)
        options.pop("_block_vars", None)
        owner = getattr(obj, "__self__", None)
        cost = CALL + (len(owner) if isinstance(owner, str) else 0)
        for value in (*arguments, *options.values()) if options else arguments:
            if isinstance(value, str):
                cost += len(value)
                if len(value) > LONGEST_KEY and isinstance(owner, str):
                    raise SecurityError(f"{obj.__name__}: the argument is longer than {LONGEST_KEY} characters")
            else:
                cost += 1 if type(value) in SCALARS else BUDGET.cost_of(value)
        BUDGET.charge(cost)
        if getattr(obj, "mail_function", False):
            return obj(*arguments, **options)
        result = super().call(context, obj, *arguments, **options)
        if isinstance(result, KeysView | ValuesView | ItemsView):
            result = list(result)
        if isinstance(result, list):
            BUDGET.charge(TURN * len(result))
        return result

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Let through only what a fact, `loop` or an allowed method is."""
        return not attr.startswith("_") and super().is_safe_attribute(obj, attr, value)

    def is_safe_callable(self, obj: Any) -> bool:
        """Let through our own functions and the few methods on the list."""
        if getattr(obj, "mail_function", False) or obj is bounded_range:
            return True
        return getattr(obj, "__self__", None) is not None and getattr(obj, "__name__", "") in METHODS

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> object:
        """Calculate with numbers of a human size; join short texts and lists."""
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            BUDGET.charge(len(left) + len(right))
        elif operator == "+" and isinstance(left, list) and isinstance(right, list):
            BUDGET.charge(TURN * (len(left) + len(right)))
        elif operator == "**" or not (isinstance(left, NUMBERS) and isinstance(right, NUMBERS)):
            raise SecurityError(
                "no powers in a mail" if operator == "**" else f"'{operator}' works on two numbers only"
            )
        elif isinstance(left, Decimal) or isinstance(right, Decimal):
            left, right = _as_decimal(left), _as_decimal(right)
        check_size(operator, left)
        check_size(operator, right)
        return super().call_binop(context, operator, left, right)


HTML = MailEnvironment(autoescape=True)
TEXT = MailEnvironment(autoescape=False)
