"""Explains wrong arguments and options of all commands: what is wrong, and which values are valid.

Typer would print pydantic's message in a box, such as "Input should be a valid integer, unable to parse string".
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import typer

from mailshot.errors import WrongArgument, similar

_EXAMPLE = datetime(2026, 3, 31, 9, 0)
_QUOTED = re.compile(r"'([^']*)'")
_NUMBERS = {
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "less_than_equal": "is too large: at most {le}",
    "greater_than_equal": "is too small: at least {ge}",
}


def explain(error: typer.BadParameter) -> WrongArgument:
    """Return an error with a remedy in place of Typer's."""
    parameter: Any = error.param
    name = error.param_hint if isinstance(error.param_hint, str) else ""
    if parameter is None:  # raised by one of our commands, in its own words
        return WrongArgument(": ".join(filter(None, (name, error.message))), _see_help(error))
    name = next(reversed(parameter.opts), None) or parameter.get_error_hint().strip("'")
    usage = getattr(parameter, "help", None) or ""
    if not error.message:
        return WrongArgument(f"{name} is missing.", f"{name}: {usage}" if usage else _see_help(error))
    message, remedy = _mistake(error, usage)
    return WrongArgument(f"{name}: {message}", remedy or _see_help(error))


def _mistake(error: typer.BadParameter, usage: str) -> tuple[str, str]:
    """Return what is wrong with a value, and the remedy; `usage` is the help of its argument or option."""
    cause: Any = error.__cause__
    if cause is None or not hasattr(cause, "errors"):
        return error.message, usage
    fault = cause.errors()[0]
    written, (_, *quoted) = fault["input"], ["", *_QUOTED.findall(fault["msg"].partition(" not ")[2])]
    if fault["type"] in _NUMBERS:
        return f"'{written}' {_NUMBERS[fault['type']].format(**fault.get('ctx', {}))}.", usage
    if quoted and quoted[0].startswith("%"):
        examples = " or ".join(_EXAMPLE.strftime(format) for format in quoted)
        return f"'{written}' is not a date.", f"Write for example {examples}."
    if quoted:
        close = similar(str(written), quoted)
        return f"'{written}' is not one of {', '.join(quoted)}.", f"Did you mean '{close}'?" if close else usage
    return fault["msg"].removeprefix("Value error, "), usage


def _see_help(error: typer.BadParameter) -> str:
    return f"See: {error.ctx.command_path} --help" if error.ctx else ""
