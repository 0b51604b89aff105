"""Statements that are compiled once and run many times a second.

SQLAlchemy keeps compiled statements too, but to build a large one, and to find it again by its structure, costs more
than to run it on a few rows. Here the text and the fixed values are kept, and the driver gets them directly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import CursorResult, Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from mailshot.store.engine import Connection


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement as one driver takes it."""

    text: str
    #: The values of all parameters by name; those given at each execution are None here.
    fixed: dict[str, Any]
    #: The names in the order of the text, for a driver whose parameters have no names.
    order: tuple[str, ...] | None
    #: Converts a given value to what the driver takes.
    converters: dict[str, Callable[[Any], Any]]

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any] | tuple[Any, ...]:
        values = dict(self.fixed)
        for name, value in parameters.items():
            if name in values:
                converter = self.converters.get(name)
                values[name] = converter(value) if converter else value
        return values if self.order is None else tuple(values[name] for name in self.order)


class CompiledStatement:
    """A statement whose changing values are named parameters. Its results have the types of the driver."""

    def __init__(self, statement: Executable) -> None:
        assert isinstance(statement, ClauseElement)
        self._statement = statement
        self._compiled: WeakKeyDictionary[Dialect, _Compiled] = WeakKeyDictionary()

    def execute(self, connection: Connection, parameters: Mapping[str, Any]) -> CursorResult[Any]:
        """Run it. Parameters that it does not have are ignored."""
        compiled = self._compiled.get(connection.dialect)
        if compiled is None:
            compiled = self._compiled[connection.dialect] = _compile(self._statement, connection.dialect)
        return connection.exec_driver_sql(compiled.text, compiled.values(parameters))


def _compile(statement: ClauseElement, dialect: Dialect) -> _Compiled:
    compiled = statement.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    assert not compiled.post_compile_params, "a list needs `in_parameter` or `is_one_of`"
    converters: dict[str, Callable[[Any], Any]] = {}
    for name, bind in compiled.binds.items():
        converter = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if converter is not None:
            converters[name] = converter
    fixed = {
        name: converters[name](value) if name in converters and value is not None else value
        for name, value in compiled.construct_params(_check=False).items()
    }
    order = tuple(compiled.positiontup or ()) if compiled.positional else None
    return _Compiled(str(compiled), fixed, order, converters)
