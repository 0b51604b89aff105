"""Groups of commands that are imported when they are looked up: when one is called, or its help is shown.

A command needs few of the libraries that all commands need together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import typer.main
from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Command, Context

#: Where a command or group is: 'module:name' within mailshot.cli, or the group itself.
Place = str | typer.Typer


def group(places: Mapping[str, Place], help: str, name: str | None = None) -> typer.Typer:
    """Return a group of the commands of these names, in this order."""

    class Group(TyperGroup):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.commands = cast("MutableMapping[str, Command]", Commands(places))

        def list_commands(self, ctx: Context) -> list[str]:
            return list(self.commands)  # Typer's own looks each of them up

        def invoke(self, ctx: Context) -> Any:
            try:
                return super().invoke(ctx)
            except typer.BadParameter as error:
                from mailshot.cli import wrong_arguments

                raise wrong_arguments.explain(error) from None

    # The callback does nothing, but without one and without commands of its own Typer makes no group.
    return typer.Typer(
        name=name, cls=Group, help=help, callback=lambda: None, no_args_is_help=True, pretty_exceptions_enable=False
    )


class Commands(Mapping[str, "Command"]):
    """Commands by name: all names are known at once, and a command is imported when it is looked up."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self._loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._places[name])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _load(name: str, place: Place) -> Command:
    target: Any = place
    if isinstance(place, str):
        module, _, attribute = place.partition(":")
        target = getattr(import_module(f"mailshot.cli.{module}"), attribute)
    if isinstance(target, typer.Typer):
        command = typer.main.get_group(target)
        command.name = name
        return command
    single = typer.Typer(add_completion=False)
    single.command(name)(target)
    return typer.main.get_command(single)
