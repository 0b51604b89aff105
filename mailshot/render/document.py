"""The HTML of a mail as one text, in which each Jinja tag is a word of letters, and the edits to make in it.

Nothing is parsed and written anew: whatever no edit replaces reaches the customer as its author wrote it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailshot.render import lexer
from mailshot.render.lexer import Lines, Segment
from mailshot.render.markup import Markup, scan
from mailshot.render.problems import Place

Part = str | Segment
_TAKEN = re.compile(r"zqx*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Edit:
    """Text and tags that stand in place of the text from `start` to `end`; equal offsets insert."""

    start: int
    end: int
    parts: tuple[Part, ...]


class MailDocument:
    """The flattened HTML of one mail. Its `text` has a word for each Jinja tag."""

    def __init__(self, pieces: Sequence[Segment]) -> None:
        self._pieces = list(pieces)
        self._segments: list[Segment] = []
        self._starts: list[int] = []
        self._lines: dict[int, Lines] = {}
        self._edits: list[Edit] = []
        text = "".join(piece.text for piece in pieces if piece.kind == "data")
        # No word may occur in the author's text, in any case of letters.
        self._prefix = "zq" + "x" * (1 + max((len(run[0]) - 2 for run in _TAKEN.finditer(text)), default=-1))
        self.words = re.compile(self._prefix + "[a-p]{5}zj", re.IGNORECASE)
        self.text = self._join()
        self.markup: tuple[Markup, ...] = tuple(scan(self.text))

    def _join(self) -> str:
        texts: list[str] = []
        length = 0
        for piece in self._pieces:
            self._starts.append(length)
            texts.append(piece.text if piece.kind == "data" else self._word(piece))
            length += len(texts[-1])
        return "".join(texts)

    def _word(self, segment: Segment) -> str:
        number = len(self._segments)
        self._segments.append(segment)
        letters = "".join(chr(ord("a") + (number >> shift & 15)) for shift in (16, 12, 8, 4, 0))
        return f"{self._prefix}{letters}zj"

    def hold(self, parts: Sequence[Part]) -> str:
        """Return parts as one text that `restore` takes apart again."""
        return "".join(part if isinstance(part, str) else self._word(part) for part in parts)

    def segment(self, word: str) -> Segment:
        """Return the tag that a word stands for."""
        number = 0
        for letter in word[len(self._prefix) : -2].lower():
            number = number << 4 | ord(letter) - ord("a")
        return self._segments[number]

    def has_tag(self, text: str) -> bool:
        """Return whether there is a Jinja tag in a part of the text."""
        return bool(self.words.search(text))

    def segments(self, text: str) -> list[Segment]:
        """Return the Jinja tags in a part of the text, in order."""
        return [self.segment(word) for word in self.words.findall(text)]

    def restore(self, text: str) -> list[Part]:
        """Return text and tags of a part of the text, in order."""
        parts: list[Part] = []
        position = 0
        for match in self.words.finditer(text):
            parts += [text[position : match.start()], self.segment(match[0])]
            position = match.end()
        return [part for part in (*parts, text[position:]) if part != ""]

    def place(self, offset: int) -> Place:
        """Return the place in the author's files of an offset in the text."""
        if not self._pieces:
            return Place("", 0, 0)
        index = bisect_right(self._starts, offset) - 1
        piece = self._pieces[index]
        if piece.kind != "data":
            return piece.place
        if index not in self._lines:
            self._lines[index] = Lines(piece.text)
        line, column = self._lines[index].at(offset - self._starts[index])
        first = piece.place.column - 1 if line == 1 else 0
        return Place(piece.place.file, piece.place.line + line - 1, column + first)

    def replace(self, start: int, end: int, *parts: Part) -> None:
        """Put parts in place of the text from `start` to `end`. Edits at one offset keep their order."""
        self._edits.append(Edit(start, end, parts))

    def write_numbers_plainly(self, start: int, end: int) -> None:
        """Write the numbers that tags between two offsets print in machine format: `1250.5`, not `1,250.5`."""
        for match in self.words.finditer(self.text, start, end):
            self.replace(match.start(), match.end(), *lexer.without_raw([self.segment(match[0])]))

    def parts(self) -> list[Part]:
        """Return the text with all edits made, and the tags in it."""
        return list(self._edited())

    def _edited(self) -> Iterator[Part]:
        position = 0
        for edit in sorted(self._edits, key=lambda edit: (edit.start, edit.end)):
            if edit.start < position:
                continue  # inside of what an earlier edit replaced
            yield from self.restore(self.text[position : edit.start])
            yield from edit.parts
            position = edit.end
        yield from self.restore(self.text[position:])
