"""The files of a mail template, identified by a hash of their content."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mailshot import errors, safe_files
from mailshot.render import enclosures, translations

REQUIRED = ("subject.txt", "body.html")
OPTIONAL = ("preheader.txt", "body.txt", "settings.yaml")
SHARED = "_base"
LARGEST_FILE = 256 * 1024
"""Bytes. A mail over 100 KB is cut by readers anyway; more than this is not a template."""

MAX_SHARED_FILES = 200
LARGEST_SHARED = 2_000_000
"""Bytes of all files in `_base`. Every mail is frozen with all of them, because any may be included."""


@dataclass(frozen=True)
class TemplateSource:
    """A mail's files by their path under templates/, e.g. `weekly/body.html` and `_base/layout.html`.

    `language` is the tag of the translation that this source is of; "" for the files without a tag.
    """

    name: str
    files: Mapping[str, str] = field(repr=False)
    enclosed: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """The files that travel with the mail: pictures and attachments."""
    language: str = ""
    enclosable: tuple[str, ...] = field(default=(), repr=False)
    """The files that a mail may enclose, for suggestions: only listed if one that the texts name does not exist."""
    logo: str = field(default="", repr=False)
    """The path of the file that `{{ company.logo }}` shows, which is in `enclosed`; "" if there is none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", MappingProxyType(dict(self.files)))
        object.__setattr__(self, "enclosed", MappingProxyType(dict(self.enclosed)))

    @cached_property
    def digest(self) -> str:
        """Name the content: SHA-256, in hex, of the canonical JSON of name and files."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def translations(self) -> translations.Names:
        """By tag, the file name of each translated part."""
        own = f"{self.name}/"
        return translations.find(file.removeprefix(own) for file in self.files if file.startswith(own))

    @property
    def own_parts(self) -> Mapping[str, str]:
        """The file names of the parts that are in `language`; none for the files without a tag."""
        return self.translations.get(self.language, {})

    def file(self, part: str) -> str:
        """Spell the key of one of this mail's own files, which for a translation may be that of its language.

        A translated body has no preheader and plain text of another language: then the key is of no file.
        """
        own = translations.tagged(part, self.language) if "body.html" in self.own_parts else part
        name = self.own_parts.get(part, own if part in ("preheader.txt", "body.txt") else part)
        return f"{self.name}/{name}"

    def versions(self) -> dict[str, TemplateSource]:
        """Return the source of each version: "" for that of the files without a tag, then each translation's by tag.

        Each has only the files that it may use, so that a change of one translation changes no other.
        """
        theirs = {self.file(name): tag for tag, parts in self.translations.items() for name in parts.values()}
        if not theirs:
            return {"": self}
        return {tag: self._version(theirs, tag) for tag in ("", *self.translations)}

    def _version(self, theirs: Mapping[str, str], tag: str) -> TemplateSource:
        files = {path: text for path, text in self.files.items() if theirs.get(path, tag) == tag}
        wanted = enclosures.candidates(self.name, files) if self.enclosed else set[str]()
        enclosed = {k: v for k, v in self.enclosed.items() if k in wanted or k == self.logo}
        return TemplateSource(self.name, files, enclosed, tag, self.enclosable, self.logo)

    def with_logo(self, path: str, content: bytes) -> TemplateSource:
        """Return the source with the file of the company's logo; only mails that show it carry it."""
        return replace(self, logo=path, enclosed={**self.enclosed, path: content})

    def freeze(self) -> dict[str, Any]:
        """Return it as a JSON value, which `thaw` reads."""
        enclosed = {path: b64encode(content).decode() for path, content in self.enclosed.items()}
        optional = {"enclosed": enclosed, "enclosable": list(self.enclosable), "logo": self.logo}
        return {"name": self.name, "files": dict(self.files)} | {key: value for key, value in optional.items() if value}

    @classmethod
    def thaw(cls, body: Mapping[str, Any]) -> TemplateSource:
        enclosed = {path: b64decode(text) for path, text in body.get("enclosed", {}).items()}
        enclosable, logo = tuple(body.get("enclosable", ())), body.get("logo", "")
        return cls(body["name"], body["files"], enclosed, enclosable=enclosable, logo=logo)

    def to_json(self) -> str:
        """Return name, files and language as canonical JSON, which `digest` is taken of; of enclosed files digests."""
        content: dict[str, object] = {"name": self.name, "files": dict(self.files)}
        content |= {"language": self.language} if self.language else {}
        if self.enclosed:
            content["enclosed"] = {path: hashlib.sha256(raw).hexdigest() for path, raw in self.enclosed.items()}
        content |= {"enclosable": self.enclosable} if self.enclosable else {}
        content |= {"logo": self.logo} if self.logo else {}
        return json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def read(folder: Path, name: str) -> TemplateSource:
    """Read the mail `name` and everything in `_base` from a templates folder.

    Raises NotFound when there is no such mail, InvalidInput for missing, unreadable or too large files, and for
    too many or too much of them in `_base`.
    """
    known = sorted(path.parent.name for path in folder.glob("[!_.]*/body.html"))
    home = folder / name
    if name in ("", ".", "..") or "/" in name or "\\" in name or name.startswith("_") or not home.is_dir():
        raise errors.NotFound(f"There is no template '{name}' in {folder}.", errors.nearest(name, known))
    wanted = [home / part for part in REQUIRED] + [home / part for part in OPTIONAL if os.path.lexists(home / part)]
    translated, shared = translations.files_in(home), _shared(folder)
    files: dict[str, str] = {}
    problems = [*translations.name_problems(translated)]
    left = LARGEST_SHARED
    for path in (*wanted, *translated, *shared):
        outcome = _read_file(path, folder)
        if isinstance(outcome, errors.Problem) and path.suffix.lower() in enclosures.DATA:
            continue  # can be attached, and a mail that includes it is told that there is no such text
        if isinstance(outcome, errors.Problem):
            problems.append(outcome)
            continue
        if path in translated and not outcome.strip():
            problems.append(translations.empty(path))
        files[path.relative_to(folder).as_posix()] = outcome
        left -= len(outcome.encode()) if path.parent != home else 0
        if left < 0:
            raise _too_much(folder, f"{LARGEST_SHARED:,} bytes")
    enclosed = _enclosed(folder, name, files, problems)
    attached = {Path(path).name for path in enclosed}
    problems += translations.misnamed(home, (*REQUIRED, *OPTIONAL), attached)
    if problems:
        raise errors.InvalidInput(problems)
    missing = enclosures.is_any_missing(name, files, enclosed)
    return TemplateSource(name, files, enclosed, enclosable=_enclosable(folder, name, files) if missing else ())


def _enclosed(folder: Path, name: str, files: Mapping[str, str], problems: list[errors.Problem]) -> dict[str, bytes]:
    """Read the pictures and attachments that the texts name. One that does not exist is reported by the compiler."""
    enclosed: dict[str, bytes] = {}
    for path in sorted(enclosures.candidates(name, files)):
        if not os.path.lexists(folder / path):
            continue
        if sum(map(len, enclosed.values())) > enclosures.MAX_TOTAL:
            message = f"The pictures and attachments of all versions have more than {enclosures.MAX_TOTAL:,} bytes."
            problems.append(errors.Problem(str(folder / name), 0, 0, message, remedy=enclosures.TOO_LARGE))
            break
        try:
            enclosed[path] = safe_files.read_bytes(folder / path, folder, most=enclosures.MAX_BYTES)
        except OSError as error:
            is_large = isinstance(error, safe_files.TooLarge)
            remedy = enclosures.TOO_LARGE if is_large else getattr(error, "remedy", "")
            problems.append(
                errors.Problem(str(folder / path), 0, 0, f"It cannot be enclosed: {error.strerror}.", remedy=remedy)
            )
            continue
        if not enclosed[path]:
            remedy = "Save it again, or leave it out."
            problems.append(errors.Problem(str(folder / path), 0, 0, "The file is empty.", remedy=remedy))
    return enclosed


def _enclosable(folder: Path, name: str, files: Mapping[str, str]) -> tuple[str, ...]:
    """List the files that a mail may enclose, by their type; of very many, some. `files` are its texts."""
    entries = (path for home in (folder / name, folder / SHARED) for path in home.rglob("*"))
    paths = (path for path in islice(entries, 10 * MAX_SHARED_FILES) if path.suffix.lower() in enclosures.ATTACHMENTS)
    parts = {file for file in files if file.startswith(f"{name}/")}
    return tuple(sorted({path.relative_to(folder).as_posix() for path in paths} - parts))


def _shared(folder: Path) -> list[Path]:
    """List the texts in `_base`; of folders without an end no more than tells that there are too many."""
    entries = list(islice((folder / SHARED).rglob("*"), 10 * MAX_SHARED_FILES + 1))
    paths = sorted(path for path in entries if not path.is_dir() and not path.name.startswith("."))
    paths = [path for path in paths if path.suffix.lower() not in enclosures.BINARY]
    if len(paths) > MAX_SHARED_FILES or len(entries) > 10 * MAX_SHARED_FILES:
        raise _too_much(folder, f"{MAX_SHARED_FILES} files")
    return paths


def _too_much(folder: Path, most: str) -> errors.InvalidInput:
    remedy = "Remove what no mail uses, or move it out of templates."
    message = f"There is too much in this folder; at most {most} are read."
    return errors.InvalidInput([errors.Problem(str(folder / SHARED), 0, 0, message, remedy=remedy)])


def _read_file(path: Path, folder: Path) -> str | errors.Problem:
    try:
        content = safe_files.read_bytes(path, folder, most=LARGEST_FILE)
    except safe_files.TooLarge as error:
        return errors.Problem(str(path), 0, 0, f"The file has {error.size} bytes; at most {LARGEST_FILE} are read.")
    except safe_files.UnsafeFile as error:
        return errors.Problem(str(path), 0, 0, f"{path.name} cannot be read: {error.strerror}.", remedy=error.remedy)
    except OSError:
        return errors.Problem(str(path), 0, 0, f"{path.name} is missing or cannot be read.")
    if b"\0" in content:
        return _fault(path, content, content.index(b"\0"), "There is a NUL byte in the file here.")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        return _fault(path, content, error.start, "The file is not UTF-8 here.")


def _fault(path: Path, content: bytes, start: int, message: str) -> errors.Problem:
    line = content.count(b"\n", 0, start) + 1
    column = start - content.rfind(b"\n", 0, start)
    return errors.Problem(str(path), line, column, message, remedy="Save it as text, in UTF-8.")
