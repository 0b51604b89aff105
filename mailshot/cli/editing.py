"""Owns `rules schema`: writes what editors complete and check YAML by; refuses to touch a rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from mailshot import safe_files
from mailshot.cli import shared
from mailshot.errors import Refused

FOLDER = Path("rules/schemas")


def schema(
    to: Annotated[Path | None, typer.Option(help=f"Folder to write to; {FOLDER} of the project unless said.")] = None,
    general: Annotated[bool, typer.Option(help="For any shop: own facts, events and names are let pass.")] = False,
) -> None:
    """Write the JSON Schema of every kind of YAML file, with this shop's own facts, events and names."""
    from mailshot import schemas

    project = None if general else shared.settings().project
    found = schemas.general() if project is None else schemas.schema_for(shared.rulebook(project))
    folder = to or (project or Path()) / FOLDER
    if to is None and not safe_files.is_inside(folder, project or Path()):
        raise Refused(f"{folder} is a link that leads out of the project.", "Remove it, or name a folder by --to.")
    write(found, folder)
    shared.print_text(f"Wrote {len(found)} schemas to {shared.printable(folder)}.")
    shared.next_step(f"begin a file with: # yaml-language-server: $schema=../schemas/{next(iter(found))}.json")


def write(found: Mapping[str, object], folder: Path) -> None:
    """Write schemas to a folder, each to a file of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in found.items():
        safe_files.write_shared(folder / f"{name}.json", text(body).encode())


def text(body: object) -> str:
    """Return a schema as its file holds it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n"
