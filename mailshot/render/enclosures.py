"""The files that travel with a mail: pictures that its HTML shows (`<img data-inline>`), and attachments.

A picture's `src` is a path from the file in which the tag stands, as in a browser. An attachment is named in
settings.yaml. Both are files of the mail's own folder or of `_base`, and the same for every customer.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote

from mailshot.errors import InvalidInput
from mailshot.render.document import MailDocument
from mailshot.render.mail_settings import read_settings
from mailshot.render.markup import Attribute, Tag, unescape_attribute
from mailshot.render.problems import Place, TemplateProblems

MAX_BYTES = 1_000_000
"""Of all files of a mail together. Every mail carries them, and many servers take no mail over 10 MB."""
MAX_TOTAL = 10 * MAX_BYTES
"""Bytes of the files of all versions of a mail. They are read and frozen together."""
INLINE = "data-inline"
PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif"}
"""Types of pictures that all mail programs show."""
ATTACHMENTS = {
    **PICTURES,
    ".pdf": "application/pdf",
    ".ics": "text/calendar",
    ".vcf": "text/vcard",
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
}
"""Types of attachments. Servers refuse mails with programs and archives."""
BINARY = ATTACHMENTS.keys() - {".ics", ".vcf", ".csv", ".txt"}
"""Types that are never a text for a template to include."""
DATA = frozenset({".ics", ".vcf", ".csv"})
"""Types that may be in any encoding, or too large for a template to include."""
_SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}
_STYLES = ("style", "link")
"""Elements that other tools mark with `data-inline`, to inline their styles."""
_SRC = re.compile(r"\ssrc\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
TOO_LARGE = "Make pictures smaller, or put large files on a server and write their address."
_WHERE = "Put it into the mail's own folder or into templates/_base."


def media_type(path: str) -> str:
    """Return the media type of an enclosed file by its name."""
    return ATTACHMENTS[PurePosixPath(path).suffix.lower()]


def content_id(content: bytes) -> str:
    """Return the Content-ID (RFC 2392) of a picture, without angle brackets: equal for equal bytes."""
    return f"{hashlib.sha256(content).hexdigest()[:24]}@inline.mailshot"


def candidates(name: str, files: Mapping[str, str]) -> set[str]:
    """Return the paths under templates/ that may have to be enclosed, judged by the texts alone.

    What is enclosed is known only when the mail is compiled; a path that does not exist is reported then.
    """
    paths = {
        path
        for file, text in files.items()
        if INLINE in text.lower()
        for match in _SRC.finditer(text)
        if (path := _resolve(file, _path_of(match[1] or match[2] or match[3] or ""), name))
    }
    try:
        settings = read_settings(files.get(f"{name}/settings.yaml", ""), f"{name}/settings.yaml")
    except InvalidInput:
        return paths  # reported when the mail is compiled
    attached = (_resolve(f"{name}/settings.yaml", written, name) for written in settings.attachments)
    return paths | {path for path in attached if path}


def inline_pictures(
    document: MailDocument, name: str, enclosed: Mapping[str, bytes], report: TemplateProblems
) -> dict[str, str]:
    """Give each picture that travels with the mail a `cid:` address; return their Content-IDs by path."""
    content_ids: dict[str, str] = {}
    for tag in (markup for markup in document.markup if isinstance(markup, Tag) and markup.get(INLINE)):
        if tag.name in _STYLES:
            continue
        place, source = document.place(tag.start), tag.get("src")
        if tag.name != "img" or source is None or document.has_tag(source.value or ""):
            report.add(
                place, f"{INLINE} is for an <img> whose src is a plain path.", 'Write <img data-inline src="…">.'
            )
            continue
        path = _picture(source, place, name, enclosed, report)
        if path is not None:
            content_ids[path] = content_id(enclosed[path])
            document.replace(source.value_start, source.value_end, f"cid:{content_ids[path]}")
    return content_ids


def _picture(
    source: Attribute, place: Place, name: str, enclosed: Mapping[str, bytes], report: TemplateProblems
) -> str | None:
    """Return the path of a picture, None after a problem was reported."""
    written = unescape_attribute(source.value or "").strip()
    path = _resolve(place.file, _path_of(source.value or ""), name)
    if path is None or path not in enclosed:
        remedy = f"For a picture on a server, leave {INLINE} out." if "//" in written else _WHERE
        report.add(place, f"There is no picture '{written}' beside {place.file}.", remedy)
        return None
    kind = PICTURES.get(PurePosixPath(path).suffix.lower())
    if kind is None or not enclosed[path].startswith(_SIGNATURES[kind]):
        report.add(place, f"'{written}' is not a PNG, JPEG or GIF.", "Export it as one: mail programs show no others.")
        return None
    return path


def attachments(
    written: Iterable[str], name: str, place: Place, enclosed: Mapping[str, bytes], report: TemplateProblems
) -> tuple[str, ...]:
    """Return the paths of the attachments that settings.yaml, whose place is `place`, names."""
    paths = list(_attached(written, name, place, enclosed, report))
    names = [PurePosixPath(path).name for path in paths]
    alike = [unicodedata.normalize("NFC", item).casefold() for item in names]
    for twice in sorted({item for item, key in zip(names, alike, strict=True) if alike.count(key) > 1}):
        report.add(place, f"Two attachments are named '{twice}', or differ only in case.", "Rename one.")
    return tuple(paths)


def _attached(
    written: Iterable[str], name: str, place: Place, enclosed: Mapping[str, bytes], report: TemplateProblems
) -> Iterator[str]:
    for text in written:
        path = _resolve(place.file, text, name)
        if path is None or path not in enclosed:
            report.add(place, f"There is no file '{text}' to attach.", _WHERE)
        elif PurePosixPath(path).suffix.lower() not in ATTACHMENTS:
            known = ", ".join(kind.removeprefix(".") for kind in ATTACHMENTS)
            report.add(place, f"'{text}' cannot be attached: its type is not allowed.", f"Attach one of: {known}.")
        else:
            yield path


def check_size(paths: Iterable[str], enclosed: Mapping[str, bytes], place: Place, report: TemplateProblems) -> None:
    """Report files that are too large together."""
    total = sum(len(enclosed[path]) for path in set(paths))
    if total > MAX_BYTES:
        message = f"The pictures and attachments of this mail have {total:,} bytes; at most {MAX_BYTES:,} are allowed."
        report.add(place, message, TOO_LARGE)


def _path_of(source: str) -> str:
    """Return the path that a `src` attribute names. A path in settings.yaml is written as it is."""
    url = unescape_attribute(source).strip()
    return "" if ":" in url else unquote(url)


def _resolve(file: str, written: str, name: str) -> str | None:
    """Return the path under templates/ that `written` means in a file there; None outside of what the mail may use."""
    if not written or written.startswith("/"):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(file), written))
    return path if path.split("/")[0] in (name, "_base") and "/" in path else None
