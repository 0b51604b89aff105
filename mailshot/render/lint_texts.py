"""Warns of subjects and preheaders that mail programs cut or filters distrust, and of placeholders left in a mail.

Of a text with `{% if %}` every reading is looked at. What a `{{ … }}` prints is unknown, and not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mailshot.render.document import MailDocument
from mailshot.render.lexer import Segment
from mailshot.render.lint import Finding
from mailshot.render.markup import Comment, RawText
from mailshot.render.problems import Place

MAX_SUBJECT = 60
"""Characters. Phones show about 35 to 45, programs on a computer about 60."""
PHONE_SUBJECT = 40
MIN_PREHEADER, MAX_PREHEADER = 30, 140
"""Characters. Lists show up to about 140 after a short subject; after a shorter text, blanks fill the rest."""
_MAX_READINGS, _MAX_LENGTH = 16, 400
"""Readings of one text that are followed, and their characters: more than any limit asks for."""
_UNKNOWN = "\ufffc"
"""Stands for what an expression prints."""
_REPLY = re.compile(r"\s*(?:re|fw|fwd|aw|wg|sv|vs|tr|rv)\s*:", re.IGNORECASE)
_CAPITALS = re.compile(r"[^\W\d_]")
_FEW_LETTERS = 8
_PLACEHOLDERS = re.compile(
    r"(?P<foreign>\*\|[A-Z][A-Z0-9_:]*\|\*|%%[A-Z][A-Z0-9_]*%%|<%=[^%]{0,99}%>|\[\[\s*\w+\s*\]\]|%[A-Z]{1,9}_?NAME%)"
    r"|(?P<own>\[(?:insert |your |first |last |full |customer |company )?_?(?:[a-z]+_)?(?:first|last|full)?[ _]?"
    r"(?:name|firstname|lastname|company|city|date|link|url|address|text here)(?: here)?\])"
    r"|(?P<dummy>\blorem ipsum\b)",
    re.IGNORECASE,
)


def subject(pieces: Sequence[Segment], file: str) -> Iterator[Finding]:
    """Yield the warnings about a subject."""
    texts, place = readings(pieces), _first_place(pieces, file)
    longest = max((len(text.replace(_UNKNOWN, "")) for text in texts), default=0)
    if longest > MAX_SUBJECT:
        cut = max(texts, key=len).replace(_UNKNOWN, "…")[:PHONE_SUBJECT].rstrip()
        message = (
            f"The subject has {longest} characters. Mail programs cut it after about {MAX_SUBJECT}, phones after "
            f"{PHONE_SUBJECT}: '{cut}…'. Put what matters first."
        )
        yield Finding("warning", message, place)
    if any(_is_shouted(text) for text in texts):
        yield Finding("warning", "The subject is all capitals, as in spam. Write it in normal letters.", place)
    if any(_REPLY.match(text) for text in texts):
        message = "The subject looks like a reply or forwarded mail, which deceives readers. Leave out the 'Re:'."
        yield Finding("warning", message, place)
    if any(text.count("!") + text.count("\uff01") > 1 for text in texts):
        yield Finding("warning", "The subject has several exclamation marks, as in spam. One is enough.", place)
    yield from placeholders(pieces)


def preheader(pieces: Sequence[Segment], subject_pieces: Sequence[Segment], file: str) -> Iterator[Finding]:
    """Yield the warnings about a preheader. One that is empty for all customers has none."""
    texts = [text for text in readings(pieces) if text]
    place = _first_place(pieces, file)
    if {text.casefold() for text in texts} & {text.casefold() for text in readings(subject_pieces)}:
        yield Finding("warning", "The preheader repeats the subject. Say something that adds to it.", place)
    longest = max(texts, key=len, default="")
    if texts and all(_UNKNOWN not in text and len(text) < MIN_PREHEADER for text in texts):
        message = (
            f"The preheader has {len(longest)} characters. Mail programs have room for {MIN_PREHEADER} to "
            f"{MAX_PREHEADER} after the subject."
        )
        yield Finding("warning", message, place)
    elif len(longest.replace(_UNKNOWN, "")) > MAX_PREHEADER:
        size = len(longest.replace(_UNKNOWN, ""))
        message = f"The preheader has {size} characters. Mail programs show at most {MAX_PREHEADER}. Shorten it."
        yield Finding("warning", message, place)
    yield from placeholders(pieces)


def placeholders(pieces: Iterable[Segment]) -> Iterator[Finding]:
    """Yield a finding for each placeholder in plain texts."""
    yield from _placeholders(MailDocument(list(pieces)), ())


def body(document: MailDocument) -> Iterator[Finding]:
    """Yield a finding for each placeholder in the texts of an HTML body, without those in comments and styles."""
    skipped = [
        (markup.start, markup.start + len(markup.text))
        for markup in document.markup
        if isinstance(markup, (Comment, RawText))
    ]
    yield from _placeholders(document, skipped)


def _placeholders(document: MailDocument, skipped: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    seen: set[str] = set()
    for match in _PLACEHOLDERS.finditer(document.text):
        if match[0].lower() in seen or any(start <= match.start() < end for start, end in skipped):
            continue
        seen.add(match[0].lower())
        if match["foreign"]:
            message = f"'{match[0]}' is a placeholder of another program. Here it is written {{{{ customer.… }}}}."
        elif match["own"]:
            message = (
                f"'{match[0]}' looks like a placeholder that was not filled in. A fact is written {{{{ customer.… }}}}."
            )
        else:
            message = f"'{match[0]}' is dummy text."
        yield Finding("warning", message, document.place(match.start()))


def _is_shouted(text: str) -> bool:
    letters = "".join(_CAPITALS.findall(text))
    return len(letters) >= _FEW_LETTERS and letters.isupper() and letters.lower() != letters


def _first_place(pieces: Sequence[Segment], file: str) -> Place:
    return next((piece.place for piece in pieces if piece.text.strip()), Place(file, 0, 0))


# Readings of a text with conditions


@dataclass(slots=True)
class _Level:
    """A statement with branches, while it is read."""

    word: str
    before: list[str]
    """The readings up to the statement."""
    ended: list[str] = field(default_factory=list)
    """The readings of its finished branches."""
    has_else: bool = False


def readings(pieces: Iterable[Segment]) -> list[str]:
    """Return the texts that conditions may lead to, each in one line; of very many, some. A loop runs once."""
    levels: list[_Level] = []
    current = [""]
    for piece in pieces:
        word = piece.word
        if piece.kind == "data":
            current = [(text + piece.text)[:_MAX_LENGTH] for text in current]
        elif piece.kind == "expression":
            current = [(text + _UNKNOWN)[:_MAX_LENGTH] for text in current]
        elif word in ("if", "for", "with", "filter") or (word == "set" and not piece.is_assignment):
            levels.append(_Level(word, current))
        elif word in ("elif", "else") and levels:
            levels[-1].ended = [*levels[-1].ended, *current][:_MAX_READINGS]
            levels[-1].has_else |= word == "else"
            current = levels[-1].before
        elif word.startswith("end") and levels:
            current = _joined(levels.pop(), current)
    return list(dict.fromkeys(" ".join(text.split()) for text in current))


def _joined(level: _Level, current: list[str]) -> list[str]:
    """Return the readings after a statement has ended."""
    if level.word == "set":
        return level.before
    if level.word in ("with", "filter"):
        return current
    together = [*level.ended, *current, *(() if level.has_else else level.before)]
    return list(dict.fromkeys(together))[:_MAX_READINGS]
