"""Names the translated parts of a mail: `subject.nb.txt` beside `subject.txt`, with a BCP 47 tag."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from mailshot import errors
from mailshot.facts import language_matching, locales

_NAME = re.compile(r"(?P<part>subject|preheader|body)\.(?P<tag>.+)\.(?P<ending>txt|html)", re.IGNORECASE)
_ENDINGS = {"subject": ("txt",), "preheader": ("txt",), "body": ("html", "txt")}
_TEXTS = {".txt", ".html", ".htm", ".yaml", ".yml"}
Names = Mapping[str, Mapping[str, str]]
"""By tag, as in `pt-BR`, the file name of each translated part, as in `body.html`."""


def find(names: Iterable[str]) -> Names:
    """Return the translations among the file names of a mail's folder, by tag. Names with a fault are left out."""
    translated: dict[str, dict[str, str]] = {}
    tags: dict[str, str] = {}
    for name in sorted(names):
        match = _NAME.fullmatch(name)
        tag = match and not _fault(name) and locales.language_tag(match["tag"])
        if match and tag:
            # Files for `no` and `nb` are parts of one translation.
            tag = tags.setdefault(language_matching.key(tag), tag)
            translated.setdefault(tag, {}).setdefault(f"{match['part']}.{match['ending']}", name)
    return dict(sorted(translated.items()))


def tagged(part: str, tag: str) -> str:
    """Return the usual file name of a translated part."""
    stem, _, ending = part.rpartition(".")
    return f"{stem}.{tag}.{ending}"


def files_in(folder: Path) -> list[Path]:
    """List the files in a mail's folder that are named like translated parts, with or without a fault."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and not path.is_dir())


def name_problems(paths: Iterable[Path]) -> Iterator[errors.Problem]:
    """Give a problem for each file whose name is not that of a translated part, and for two of the same part."""
    seen: dict[tuple[str, str, str], str] = {}
    for path in paths:
        match = _NAME.fullmatch(path.name)
        assert match
        if fault := _fault(path.name):
            yield errors.Problem(str(path), 0, 0, fault[0], remedy=fault[1])
            continue
        part = (match["part"], match["ending"], language_matching.key(match["tag"]))
        if part in seen:
            message = f"{path.name} and {seen[part]} are the same part in the same language."
            yield errors.Problem(str(path), 0, 0, message, remedy="Delete or rename one of them.")
        seen[part] = path.name


def misnamed(folder: Path, parts: Iterable[str], used: Collection[str]) -> Iterator[errors.Problem]:
    """Give a problem for each text that is named nearly like a part of a mail which is not there: `preheder.txt`.

    `used` are the names of files that the mail attaches; they may have any name.
    """
    names = {path.name for path in folder.iterdir() if path.suffix.lower() in _TEXTS and not path.is_dir()}
    missing = [part for part in parts if part not in names]
    for name in sorted(names - set(parts) - set(used)):
        near = difflib.get_close_matches(name, missing, n=1, cutoff=0.9)
        near += [part for part in missing if _stem(part) == _stem(name) != "body"]
        if near and _NAME.fullmatch(name) is None:
            remedy = f"Did you mean {near[0]}? Rename it, or give it another name."
            yield errors.Problem(str(folder / name), 0, 0, f"{name} is not a part of a mail.", remedy=remedy)


def _stem(name: str) -> str:
    return name.partition(".")[0]


def empty(path: Path) -> errors.Problem:
    """Return the problem of a translated part without any text."""
    remedy = "Write the translation, or delete the file: then this part comes from the file without a tag."
    return errors.Problem(str(path), 0, 0, f"{path.name} is empty.", remedy=remedy)


def _fault(name: str) -> tuple[str, str] | None:
    """Return what is wrong with a file name, and the remedy; None for that of a translated part."""
    match = _NAME.fullmatch(name)
    assert match
    part, tag, ending = match["part"].lower(), match["tag"], match["ending"].lower()
    if ending not in _ENDINGS[part]:
        return f"The {part} is a text, not HTML.", f"Name it {part}.{tag}.txt."
    if (match["part"], match["ending"]) != (part, ending):
        return f"{name} must be named in lower case.", f"Name it {part}.{tag}.{ending}."
    right = locales.language_tag(tag)
    if right and not locales.is_language(right):
        right = None
    if right and len(re.split("[-_]", tag)[0]) == len(right.split("-")[0]):
        return None
    message = f"'{tag}' is not a language."
    example = f"Write a BCP 47 tag, as in {part}.nb.{ending} or {part}.pt-BR.{ending}."
    nearest = right or language_matching.nearest(tag)
    hint = f"Did you mean {part}.{nearest}.{ending}?" if nearest else example
    return message, f"{hint} A file that is not a translation must have another name, or lie elsewhere."
