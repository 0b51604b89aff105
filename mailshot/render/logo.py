"""The company's logo in mails: what `{{ company.logo }}` stands for, and the file that it may show.

A file travels with the mail, as pictures with `data-inline` do. It may lie anywhere under templates/.
"""

from __future__ import annotations

import os
import posixpath
from itertools import islice
from pathlib import Path, PurePosixPath

from mailshot import errors, safe_files
from mailshot.render import enclosures

COMPANY = "company"
FACT = f"{COMPANY}.logo"
"""The dotted name by which templates use it."""
FIELDS = ("brand", "logo", "logo_alt", "logo_width")
_ON_SERVER = "For a picture on a server, write its whole address: https://"
_MAX_ENTRIES = 2000
"""Entries under templates/ that are looked through for a suggestion."""


class UnusableLogo(errors.MailshotError):
    """The file of the logo cannot be sent; `remedy` says what to do."""


def read_file(folder: Path, written: str) -> tuple[str, bytes]:
    """Return the path under the templates folder, and the content of a logo. Raises UnusableLogo."""
    path = posixpath.normpath(written)
    if path.startswith("../") or "\\" in path or "\0" in path or not os.path.isfile(folder / path):
        raise UnusableLogo(f"There is no file 'templates/{path}'", _suggestion(folder, written))
    try:
        content = safe_files.read_bytes(folder / path, folder, most=enclosures.MAX_BYTES)
    except OSError as error:
        remedy = enclosures.TOO_LARGE if isinstance(error, safe_files.TooLarge) else getattr(error, "remedy", "")
        raise UnusableLogo(f"'templates/{path}' cannot be sent: {error.strerror}", remedy) from None
    if not enclosures.is_picture(path, content):
        remedy = "Export it as one: mail programs show no others."
        raise UnusableLogo(f"'templates/{path}' is not a PNG, JPEG or GIF", remedy)
    return path, content


def address(content: bytes) -> str:
    """Return the address of a file that travels with the mail."""
    return f"cid:{enclosures.content_id(content)}"


def _suggestion(folder: Path, written: str) -> str:
    entries = (path for path in islice(folder.rglob("*"), _MAX_ENTRIES) if path.is_file())
    pictures = sorted(path.relative_to(folder).as_posix() for path in entries if enclosures.has_picture_name(path.name))
    if "." in written.partition("/")[0] and not written.startswith(".") and "/" in written:
        return f"{_ON_SERVER}{written}"
    by_name = {PurePosixPath(path).name.lower(): path for path in reversed(pictures)}
    close = errors.similar(PurePosixPath(written).name.lower(), by_name)
    if close:
        return f"Did you mean '{by_name[close]}'?"
    return f"Put it there; the path begins below templates/. {_ON_SERVER}…"
