"""`init`: a new project folder, small and usable at once, or with the rules of an example shop."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mailshot import safe_files
from mailshot.cli import context, output, private_files
from mailshot.errors import Refused

HERE = Path(__file__).parent.parent
DOTENV = """\
# Settings of this project; docs/operating.md lists them all. Keep this file out of version control.
MAILSHOT_KEYS=1:{key}
# Never change this one: the suppression list is hashed with it.
MAILSHOT_ADDRESS_KEY={address_key}
"""


class StarterProject(StrEnum):
    """The shops whose rules and templates a project may begin with."""

    grocery = "grocery"


MAPPINGS = {None: "rules/imports/shop.yaml", StarterProject.grocery: "rules/imports/complete-journey.yaml"}


def init(
    folder: Annotated[Path, typer.Argument(help="The new project's folder.")],
    example: Annotated[StarterProject | None, typer.Option(help="Start with an example shop.")] = None,
) -> None:
    """Create a project: one example of each file, a few customers to import, new keys, an empty database."""
    create_project(folder, example)
    data = "rules/ and templates/" if example else "rules/, templates/ and data/ with one example of each file"
    output.print_text(f"Created [bold]{folder}[/bold]: {data}, .env with new keys, and the database.")
    output.print_next_step(f"cd {shlex.quote(str(folder))}, then: mailshot import {MAPPINGS[example]}")


def create_project(folder: Path, example: StarterProject | None = None) -> None:
    """Make the project. Raises Refused when there is one already."""
    from mailshot import bootstrap, settings
    from mailshot.store import installation

    if any(os.path.lexists(folder / name) for name in ("rules", ".env")):
        raise Refused(f"{folder} already contains a project.", "Choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    if example:
        for name in ("rules", "templates"):
            shutil.copytree(starter() / name, folder / name)
    else:
        shutil.copytree(HERE / "blank", folder, dirs_exist_ok=True)
        shutil.copytree(starter() / "templates/_base", folder / "templates/_base")
        _write_schemas(folder)
    dotenv = DOTENV.format(key=secrets.token_hex(32), address_key=secrets.token_hex(32))
    safe_files.write_private(folder / ".env", dotenv.encode())
    _ignore(folder / ".gitignore")
    store = bootstrap.open_store(settings.load_settings(folder))
    installation.upgrade_schema(store)
    store.close()


def _ignore(path: Path) -> None:
    """Add files with secrets or personal data to .gitignore; existing lines stay."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    missing = [line for line in private_files.IGNORED if line not in lines]
    safe_files.write_shared(path, "".join(f"{line}\n" for line in (*lines, *missing)).encode())


def _write_schemas(project: Path) -> None:
    from mailshot import json_schemas
    from mailshot.cli import rules

    rules.write_schemas(json_schemas.schema_for(context.rulebook(project)), project / rules.FOLDER)


def starter() -> Path:
    """Return where the example rules and templates are: in the package when installed, else beside it."""
    packed = HERE / "starter"
    return packed if packed.is_dir() else HERE.parent
