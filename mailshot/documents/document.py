"""Owns a file as a document: read from disk, bytes or text; refuses more than 64 KB, and to know what it means."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mailshot import safe_files
from mailshot.documents import fields, nodes, strict
from mailshot.documents.nodes import Node, Problems, Step
from mailshot.errors import InvalidInput, Problem

MOST_BYTES = 64 * 1024
MARK = "\ufeff"
AS_UTF_8 = "Save the file as UTF-8."
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file. `name` is how errors call it."""

    name: str
    text: str
    root: Node

    def problems(self) -> Problems:
        return Problems(self.name, nodes.lines(self.text))

    def at(self, *path: Step) -> Node:
        """Return the node at `path`, or the deepest one that exists on the way."""
        return nodes.at(self.root, *path)

    def model(self, kind: type[Model], problems: Problems | None = None) -> Model:
        """Read the whole document as a pydantic model; raise InvalidInput with the place of each error."""
        try:
            return kind.model_validate(nodes.plain(self.root))
        except ValidationError as error:
            found = problems or self.problems()
            wrong = error.errors(include_url=False, include_input=False)
            found.uncounted += len(wrong[nodes.MOST_TOLD :])
            for item in wrong[: nodes.MOST_TOLD]:
                fields.add_model_errors(self.root, kind, item, found)
            raise InvalidInput(found.told()) from None


def load(path: Path, root: Path | None = None, within: Path | None = None) -> Document:
    """Read and parse one YAML file; errors name it relative to `root`. Raises InvalidInput.

    It must lie in the folder `within` (None: its own), wherever links in its path lead.
    """
    name = str(path.relative_to(root)) if root and path.is_relative_to(root) else str(path)
    try:
        return decode(safe_files.read_bytes(path, within, most=MOST_BYTES), name)
    except safe_files.TooLarge as error:
        raise InvalidInput([_too_large(name, error.size)]) from None
    except OSError as error:
        message, remedy = f"cannot be read: {error.strerror}", getattr(error, "remedy", "")
        raise InvalidInput([Problem(name, 0, 0, message, remedy=remedy)]) from None


def decode(raw: bytes, name: str) -> Document:
    """Parse the bytes of a file. Raises InvalidInput."""
    if len(raw) > MOST_BYTES:
        raise InvalidInput([_too_large(name, len(raw))])
    if wide := _wide(raw):
        raise InvalidInput([Problem(name, 0, 0, f"is {wide}, not UTF-8 text", "", AS_UTF_8)])
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        place = nodes.place(raw[: error.start].decode(), len(raw))
        line = nodes.lines(raw.decode(errors="replace"))[place.line - 1]
        raise InvalidInput(
            [Problem(name, place.line, place.column, "is not UTF-8 text here", line, AS_UTF_8)]
        ) from None
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    """Parse YAML text into a Document. Raises InvalidInput with the place of the first breach."""
    text = text.removeprefix(MARK)
    if (size := len(text.encode(errors="surrogatepass"))) > MOST_BYTES:
        raise InvalidInput([_too_large(name, size)])
    problems = Problems(name, nodes.lines(text))
    root = strict.read(text, problems)
    problems.raise_if_any()
    return Document(name, text, root)


def _too_large(name: str, size: int) -> Problem:
    told = f"is {size:,} bytes; at most {MOST_BYTES:,} are allowed"
    return Problem(name, 0, 0, told, "", "Shorten it, or spread it over several files.")


def _wide(raw: bytes) -> str:
    """Say which encoding of two or four bytes a text is written in, by its mark or by zeros around its first sign."""
    first = raw[:4]
    if first in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") or (len(first) == 4 and b"\0\0\0" in first):
        return "UTF-32"
    return "UTF-16" if first[:2] in (b"\xff\xfe", b"\xfe\xff") or (b"\0" in first[:2] and len(first) > 1) else ""
