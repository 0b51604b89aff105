"""Owns `init`: a new project folder with example rules and templates; refuses to overwrite anything."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Annotated

import typer

from mailshot.cli import shared
from mailshot.errors import Refused

HERE = Path(__file__).parent.parent
DOTENV = """\
# Settings of this project; docs/operating.md lists them all. Keep this file out of version control.
MAILSHOT_KEYS=1:{key}
# Never change this one: the suppression list is hashed with it.
MAILSHOT_ADDRESS_KEY={address_key}
"""


def init(folder: Annotated[Path, typer.Argument(help="The new project's folder.")]) -> None:
    """Make a new project: example rules and templates, fresh keys, an empty database."""
    create(folder)
    shared.say(f"Made [bold]{folder}[/bold]: rules/, templates/, .env with fresh keys, and the database.")
    shared.next_step(f"cd {folder}, then: mailshot import rules/imports/complete-journey.yaml")


def create(folder: Path) -> None:
    """Make the project. Raises Refused when there is one already."""
    from mailshot import bootstrap, settings
    from mailshot.store import schema

    if (folder / "rules").exists() or (folder / ".env").exists():
        raise Refused(f"{folder} already holds a project.", "Choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("rules", "templates"):
        shutil.copytree(starter() / name, folder / name)
    dotenv = DOTENV.format(key=secrets.token_hex(32), address_key=secrets.token_hex(32))
    (folder / ".gitignore").write_text(".env\n*.db*\ninbox/\nrejects/\n", encoding="utf-8")
    (folder / ".env").touch(mode=0o600)
    (folder / ".env").write_text(dotenv, encoding="utf-8")
    store = bootstrap.open_store(settings.load(folder))
    schema.upgrade(store)
    store.close()


def starter() -> Path:
    """Return where the example rules and templates are: in the package when installed, else beside it."""
    packed = HERE / "starter"
    return packed if packed.is_dir() else HERE.parent
