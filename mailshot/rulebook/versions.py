"""Reads a version of the rules: from a folder, or from a git revision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mailshot import documents
from mailshot.documents import Document
from mailshot.errors import InvalidInput, NotFound, Problem
from mailshot.rulebook import git, rulebook
from mailshot.rulebook.rulebook import FOLDER, FOLDERS, Broken, Rulebook

WORKING = "the working folder"


@dataclass(frozen=True)
class Version:
    """One version of the rules. `broken` maps files that are not valid YAML to their problems."""

    label: str
    rulebook: Rulebook
    broken: Broken


def read_version(project: Path, asked: str | None) -> Version:
    """Read a version: a project or rules folder, a git revision, or (None) the project as it is now.

    Raises NotFound, Refused, Unavailable; problems inside a file are only collected.
    """
    if asked is None:
        return _version(WORKING, _in_folder(project / FOLDER, project))
    # A name counts as a folder only if the folder has rules.
    if asked and (rules := _rules(Path(asked))) is not None:
        return _version(asked, _in_folder(rules))
    revision = git.find_revision(project, asked)
    return _version(str(revision), _in_revision(revision), past=True)


def _version(label: str, readers: Mapping[str, Callable[[], Document]], past: bool = False) -> Version:
    files, broken = rulebook.read_all(readers)
    return Version(label, Rulebook(files, past), broken)


def _rules(folder: Path) -> Path | None:
    """Return the rules folder that a folder is or contains."""
    if (folder / FOLDER).is_dir():
        return folder / FOLDER
    return folder if any((folder / name).is_dir() for name in FOLDERS) else None


def _in_folder(rules: Path, root: Path | None = None) -> dict[str, Callable[[], Document]]:
    if not rules.is_dir():
        raise NotFound(f"There is no folder {rules}.", "Run 'mailshot init', or set MAILSHOT_PROJECT.")
    return {name: partial(documents.load_document, path, root, rules) for name, path in rulebook.paths(rules).items()}


def _in_revision(revision: git.Revision) -> dict[str, Callable[[], Document]]:
    listed = [entry for entry in git.list_entries(revision, FOLDER) if rulebook.belongs(entry.path)]
    small = [entry.digest for entry in listed if entry.plain and entry.size <= documents.MAX_BYTES]
    blobs = git.read_blobs(revision.folder, small)
    return {f"{FOLDER}/{entry.path}": partial(_document, revision, entry, blobs.get(entry.digest)) for entry in listed}


def _document(revision: git.Revision, entry: git.TreeEntry, raw: bytes | None) -> Document:
    name = f"{revision.asked}:{FOLDER}/{entry.path}"
    if raw is None:
        message = f"is {entry.size:,} bytes; at most {documents.MAX_BYTES:,} are allowed"
        raise InvalidInput([Problem(name, 0, 0, message if entry.plain else "is a link, which is not followed in git")])
    return documents.decode(raw, name)
