"""Which files of a project hold secrets or people's data, and whether others can read them."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from mailshot import safe_files
from mailshot.errors import Refused
from mailshot.settings import Settings

#: What .gitignore keeps out of version control.
IGNORED = (".env", "dkim/", "*.db*", "inbox/", "rejects/", "preview*.html", "preview*.png")
#: The same, as paths that git is asked about.
PRIVATE = (".env", "mailshot.db", "mailshot.db-wal", "inbox/", "rejects/", "preview.html", "preview.png")
#: Stands for the keys in the folder of DKIM keys, of which there may be none yet.
KEY_FILE = "key.pem"
GIT_SECONDS = 10


def check_private_files(settings: Settings) -> str:
    """Return that all is private. Raises Refused with what is not, and how to change it."""
    project = settings.project
    if readable := _readable_by_others(settings):
        names = " ".join(str(path) for path in readable)
        raise Refused(f"Other users of this machine can read {names}.", f"Run: chmod go-rwx {names}")
    if tracked := _not_ignored(settings):
        lines = "\n    ".join(tracked)
        raise Refused(
            "Version control would include files with secrets or personal data.",
            f"Add to {project / '.gitignore'}:\n    {lines}",
        )
    return "files with secrets or personal data are readable only by their owner"


def _readable_by_others(settings: Settings) -> list[Path]:
    """Return the private files and folders that others can read; everything in a private folder is private."""
    project = settings.project
    paths = [
        project / ".env",
        *settings.dkim_folder.glob("*.pem"),
        project / "inbox",
        project / "rejects",
        *project.glob("preview*.html"),
        *project.glob("preview*.png"),
    ]
    head, sqlite, database = settings.database_url.partition("sqlite:///")
    if sqlite and not head:
        paths += [Path(f"{database}{ending}") for ending in ("", "-wal", "-shm")]
    others = stat.S_IRWXG | stat.S_IRWXO
    return [path for path in paths if path.exists() and path.stat().st_mode & others]


def _not_ignored(settings: Settings) -> list[str]:
    """Return the lines that the project's .gitignore lacks; none where the project is not in version control."""
    project, keys = settings.project, settings.dkim_folder
    private = [*PRIVATE]
    if keys.is_dir() and safe_files.is_inside(keys, project):
        private.append(f"{os.path.relpath(os.path.realpath(keys), os.path.realpath(project))}/{KEY_FILE}")
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(project), "check-ignore", "--no-index", *private]
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode not in (0, 1):
        return []
    ignored = done.stdout.decode(errors="replace").splitlines()
    lacking = [path.removesuffix(KEY_FILE) for path in private if path not in ignored]
    lines = {"mailshot.db": "*.db*", "mailshot.db-wal": "*.db*"}
    lines |= {f"preview.{ending}": f"preview*.{ending}" for ending in ("html", "png")}
    return list(dict.fromkeys(lines.get(path, path) for path in lacking))
