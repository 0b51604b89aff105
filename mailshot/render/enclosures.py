"""The files that travel with a mail: pictures that its HTML shows (`<img data-inline>`), and attachments.

A picture's `src` is a path from the file in which the tag stands, as in a browser. An attachment is named in
settings.yaml. Both are files of the mail's own folder or of `_base`, and the same for every customer.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote

from mailshot.errors import InvalidInput, similar
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
_MAX_LISTED = 12
"""Files that an error lists."""


def media_type(path: str) -> str:
    """Return the media type of an enclosed file by its name."""
    return ATTACHMENTS[PurePosixPath(path).suffix.lower()]


def content_id(content: bytes) -> str:
    """Return the Content-ID (RFC 2392) of a picture, without angle brackets: equal for equal bytes."""
    return f"{hashlib.sha256(content).hexdigest()[:24]}@inline.mailshot"


def has_picture_name(path: str) -> bool:
    """Return whether the ending of a name is that of a picture that all mail programs show."""
    return PurePosixPath(path).suffix.lower() in PICTURES


def is_picture(path: str, content: bytes) -> bool:
    """Return whether a file is a picture that all mail programs show, of the type that its name says."""
    return has_picture_name(path) and content.startswith(_SIGNATURES[media_type(path)])


def candidates(name: str, files: Mapping[str, str]) -> set[str]:
    """Return the paths under templates/ that may have to be enclosed, judged by the texts alone.

    What is enclosed is known only when the mail is compiled; a path that does not exist is reported then.
    """
    return {path for file, written in _mentions(name, files) if (path := _resolve(file, written, name))}


def is_any_missing(name: str, files: Mapping[str, str], enclosed: Collection[str]) -> bool:
    """Return whether the texts name a file that does not exist, or that the mail may not use."""
    return any(
        written and "{" not in written and _resolve(file, written, name) not in enclosed
        for file, written in _mentions(name, files)
    )


def _mentions(name: str, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what may be paths of files to enclose, each with the file that names it."""
    for file, text in files.items():
        for match in _SRC.finditer(text) if INLINE in text.lower() else ():
            yield file, _path_of(match[1] or match[2] or match[3] or "")
    file = f"{name}/settings.yaml"
    try:
        settings = read_settings(files.get(file, ""), file)
    except InvalidInput:
        return  # reported when the mail is compiled
    for written in settings.attachments:
        yield file, written


def inline_pictures(
    document: MailDocument,
    name: str,
    enclosed: Mapping[str, bytes],
    enclosable: Collection[str],
    report: TemplateProblems,
) -> dict[str, str]:
    """Give each picture that travels with the mail a `cid:` address; return their Content-IDs by path.

    `enclosable` are the files that exist, for suggestions where one does not.
    """
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
        path = _picture(source, place, name, enclosed, enclosable, report)
        if path is not None:
            content_ids[path] = content_id(enclosed[path])
            document.replace(source.value_start, source.value_end, f"cid:{content_ids[path]}")
    return content_ids


def _picture(
    source: Attribute,
    place: Place,
    name: str,
    enclosed: Mapping[str, bytes],
    enclosable: Collection[str],
    report: TemplateProblems,
) -> str | None:
    """Return the path of a picture, None after a problem was reported."""
    written = unescape_attribute(source.value or "").strip()
    path = _resolve(place.file, _path_of(source.value or ""), name)
    if path is None or path not in enclosed:
        pictures = [file for file in enclosable if has_picture_name(file)]
        on_server = f"For a picture on a server, leave {INLINE} out."
        remedy = on_server if "//" in written else _suggestion(written, place.file, pictures)
        report.add(place, f"There is no picture '{written}' beside {place.file}.", remedy)
        return None
    if not is_picture(path, enclosed[path]):
        report.add(place, f"'{written}' is not a PNG, JPEG or GIF.", "Export it as one: mail programs show no others.")
        return None
    return path


def attachments(
    written: Iterable[tuple[str, Place]],
    name: str,
    enclosed: Mapping[str, bytes],
    enclosable: Collection[str],
    report: TemplateProblems,
) -> tuple[str, ...]:
    """Return the paths of the attachments that settings.yaml names, each with its place."""
    attached: dict[str, str] = {}
    for text, place in written:
        path = _resolve(place.file, text, name)
        if path is None or path not in enclosed:
            remedy = _suggestion(text, place.file, enclosable)
            report.add(place, f"There is no file '{text}' to attach.", remedy)
        elif PurePosixPath(path).suffix.lower() not in ATTACHMENTS:
            known = ", ".join(kind.removeprefix(".") for kind in ATTACHMENTS)
            report.add(place, f"'{text}' cannot be attached: its type is not allowed.", f"Attach one of: {known}.")
        elif (key := _file_name_key(path)) in attached:
            twice = PurePosixPath(path).name
            report.add(place, f"Two attachments are named '{twice}', or differ only in case.", "Rename one.")
        else:
            attached[key] = path
    return tuple(attached.values())


def _file_name_key(path: str) -> str:
    """Return what two files share whose names some systems take for one."""
    return unicodedata.normalize("NFC", PurePosixPath(path).name).casefold()


def _suggestion(written: str, file: str, enclosable: Collection[str]) -> str:
    """Return the remedy for a path that is written in `file` and leads to no file: the nearest one, or all.

    Only names without folder and ending are compared: what many files share says nothing.
    """
    paths = {posixpath.relpath(path, posixpath.dirname(file)): PurePosixPath(path) for path in sorted(enclosable)}
    stems = {path.stem.lower(): near for near, path in reversed(paths.items())}
    same_name = (near for near, path in paths.items() if path.name == PurePosixPath(unquote(written)).name)
    close = similar(PurePosixPath(unquote(written)).stem, stems)
    if near := next(same_name, stems[close] if close else None):
        return f"Did you mean '{near}'?"
    if not paths:
        return _WHERE
    more = ", …" if len(paths) > _MAX_LISTED else ""
    return f"{_WHERE} There are: {', '.join([*paths][:_MAX_LISTED])}{more}."


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
