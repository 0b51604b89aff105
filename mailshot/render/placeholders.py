"""Replaces template tags by letters-only placeholders while an HTML parser works, and restores them.

Placeholders stand for every Jinja tag, comment, entity, address and every attribute that contains a tag. A tag
between elements becomes a comment, so a loop around table rows stays where it was written.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from mailshot.render import lexer, style_sheet
from mailshot.render.lexer import Lines, Segment
from mailshot.render.problems import Place, TemplateProblems

Part = str | Segment
Links = Callable[[list[Part], dict[str, str], Place], list[Part]]
"""Takes the parts of an address, the element's attributes and its place; gives the parts to send."""

STYLING = ("class", "id", "style")
_FETCHED = ("href", "src", "action", "formaction", "background", "poster", "data", "cite", "longdesc", "xlink:href")
#: Attributes that a mail reader fetches, follows or runs, with the remedy for customer values in them.
_FIXED = {
    "srcset": "Write literal URLs, or use src, whose URL is checked.",
    "imagesrcset": "Write its addresses out.",
    "lowsrc": "Use src, whose URL is checked.",
    "dynsrc": "Use src, whose URL is checked.",
    "srcdoc": "Write the text into the mail itself; mail readers show no frames.",
    "ping": "Remove it: Mailshot counts clicks itself, with the customer's consent.",
    "archive": "Remove it; mail readers run no programs.",
    "classid": "Remove it; mail readers run no programs.",
    "codebase": "Remove it; mail readers run no programs.",
    "manifest": "Remove it; mail readers keep no pages.",
    "http-equiv": "Write it out.",
    "refresh": "Remove it and write a link, which is checked.",
}
_TEXTS = ("srcset", "name", "content", "alt", "title", "summary", "label")
_NAME = r"[a-zA-Z][^\s/<>\"'=]*+"
# As browsers and lxml read it. A quote or a < anywhere else is refused: parsers differ about what it begins or ends.
_REST = r"(?:[\s/]++|[^\s\"'<>/=]++(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s\"'<>]++|(?=>)))?+)*+"
_MARKUP = re.compile(
    r"(?P<comment><!--.*?(?:-->|\Z))"
    r"|(?P<bogus><[!?][^>]*(?:>|\Z))"
    rf"|(?P<raw><(?P<rawname>style|script|title|textarea)(?=[\s/>])(?P<rawattributes>{_REST})>)"
    r"(?P<inside>.*?)(?P<rawend></(?P=rawname)\s*>|\Z)"
    rf"|(?P<tag></?(?P<name>{_NAME})(?=[\s/>])(?P<attributes>{_REST})>)"
    r"|(?P<broken></?[a-zA-Z])"
    r"|(?P<entity>&(?:\#[0-9]+|\#[xX][0-9a-fA-F]+|[a-zA-Z][a-zA-Z0-9]*);)",
    re.DOTALL | re.IGNORECASE,
)
_INNER = re.compile(
    rf"(?P<tag></?(?P<name>{_NAME})(?=[\s/>])(?P<attributes>{_REST})>)|(?P<broken></?[a-zA-Z])", re.IGNORECASE
)
_BEGUN = re.compile(rf"</?(?P<name>{_NAME})(?:(?=[\s/]){_REST})?+")
MOST_BROKEN = 20
"""Tags without an end that are reported in one text; searching the end of each reads the whole text."""
_TAKEN = re.compile(r"zqx*", re.IGNORECASE)
_ANCHOR = re.compile(r"<(?P<end>/)?a(?=[\s>/])[^<>]*>", re.IGNORECASE)
_ADDRESS = re.compile(r'\shref="([^"]*)"', re.IGNORECASE)
_IMAGE = re.compile(r"<img\b", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_ATTRIBUTE = re.compile(r"(?P<name>[^\s\"'>/=]+)(?:\s*=\s*(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"'>]+))?")
_UNTRACKED = {"data-no-track": ""}
_EACH = "Write the cases out, or set `inline: each` in the template's settings.yaml (slower: once per mail)."


class Placeholders:
    """One text with placeholders for its tags, its element tags, and the way back."""

    def __init__(
        self, pieces: Sequence[Segment], report: TemplateProblems, links: Links | None, styled_once: bool
    ) -> None:
        self._report, self._links, self._styled_once = report, links, styled_once
        self._parts: list[list[Part]] = []
        self._statements: set[str] = set()
        self._commented: set[str] = set()
        self.addresses: dict[str, str] = {}
        """Placeholders of URLs, by their original text without link code."""
        self.elements: list[tuple[str, dict[str, str], Place]] = []
        text = "".join(piece.text for piece in pieces if piece.kind == "data")
        self._prefix = "zq" + "x" * (1 + max((len(run[0]) - 2 for run in _TAKEN.finditer(text)), default=-1))
        self.words = re.compile(self._prefix + "[a-p]{5}zj")
        self._joined = ""
        self._starts: list[int] = []
        self._lines: dict[int, Lines] = {}
        self._pieces = list(pieces)
        self.text = self._hold_markup(self._join())

    # Words

    def _word(self, *parts: Part) -> str:
        number = len(self._parts)
        self._parts.append(list(parts))
        letters = "".join(chr(ord("a") + (number >> shift & 15)) for shift in (16, 12, 8, 4, 0))
        return f"{self._prefix}{letters}zj"

    def _number(self, word: str) -> int:
        number = 0
        for letter in word[len(self._prefix) : -2]:
            number = number << 4 | ord(letter) - ord("a")
        return number

    def protect(self, piece: Segment) -> str:
        """Hold one more tag and give its word."""
        return self._word(piece)

    def _comment(self, *parts: Part) -> str:
        word = self._word(*parts)
        self._commented.add(word)
        return f"<!--{word}-->"

    def parts(self, text: str, plain: bool = False) -> list[Part]:
        """Take every word back out of a text: the text and tags it stood for, in order.

        With `plain`, protected entities become their characters.
        """
        found: list[Part] = []
        position = 0
        for match in self.words.finditer(text):
            start, end = match.span()
            if match[0] in self._commented and text[start - 4 : start] == "<!--":
                start, end = start - 4, end + 3
            found.append(text[position:start])
            for part in self._parts[self._number(match[0])]:
                if isinstance(part, Segment):
                    found.append(part)
                else:
                    inner = self.parts(part, plain)
                    found += [html.unescape(p) if plain and isinstance(p, str) else p for p in inner]
            position = end
        found.append(text[position:])
        return [part for part in found if part != ""]

    def statement(self, comment: str | None) -> str:
        """Return the placeholder of the tag that a comment stands for, '' for a comment that the author wrote."""
        word = (comment or "").strip()
        inner = self._parts[self._number(word)] if word in self._commented else []
        return word if len(inner) == 1 and inner[0] in self._statements else ""

    def order(self, text: str) -> list[str]:
        """List the words of a text as they stand."""
        return self.words.findall(text)

    def place_of(self, word: str) -> Place:
        """Return the source position of a placeholder."""
        pieces = [part for part in self.parts(word) if isinstance(part, Segment)]
        return pieces[0].place if pieces else self._pieces[0].place if self._pieces else Place("", 0, 0)

    # From pieces to one text, and back to places

    def _join(self) -> str:
        shown: list[str] = []
        length = 0
        for piece in self._pieces:
            text = piece.text
            if piece.kind != "data":
                text = self._word(piece)
                if piece.kind == "statement":
                    self._statements.add(text)
            self._starts.append(length)
            length += len(text)
            shown.append(text)
        self._joined = "".join(shown)
        return self._joined

    def _place(self, offset: int) -> Place:
        index = bisect_right(self._starts, offset) - 1
        piece = self._pieces[index]
        if piece.kind != "data":
            return piece.place
        if index not in self._lines:
            self._lines[index] = Lines(piece.text)
        line, column = self._lines[index].at(offset - self._starts[index])
        first = piece.place.column - 1 if line == 1 else 0
        return Place(piece.place.file, piece.place.line + line - 1, column + first)

    # Markup

    def _hold_markup(self, text: str) -> str:
        return "".join(self._pass(text))

    def _pass(self, text: str) -> Iterator[str]:
        position = broken = 0
        for match in _MARKUP.finditer(text):
            yield self._between(text[position : match.start()])
            yield self._markup(match)
            position = match.end()
            broken += match["broken"] is not None
            if broken == MOST_BROKEN:
                break
        yield self._between(text[position:])

    def _between(self, text: str) -> str:
        return self.words.sub(lambda m: self._comment(m[0]) if m[0] in self._statements else m[0], text)

    def _markup(self, match: re.Match[str]) -> str:
        if match["entity"]:
            return self._word(match[0])
        if match["broken"]:
            self._refuse_broken(match.string, match.start(), match.start())
            return match[0]
        if match["comment"] or match["bogus"]:
            return match[0] if match[0].lower().startswith("<!doctype") else self._comment(self._written(match))
        if match["tag"]:
            return self._tag(match, match["name"], "attributes")
        inside = match["inside"]
        if match["rawname"].lower() == "style":
            return self._style(match)
        word = self.words.search(inside)
        if word and match["rawname"].lower() == "script":
            self._report.add(self.place_of(word[0]), "A script must not contain customer values.")
        opening = self._tag(match, match["rawname"], "rawattributes")
        return opening + (self._word(inside) if inside.strip() else inside) + match["rawend"]

    def _written(self, match: re.Match[str]) -> str:
        """Keep a comment as it is, but for the links in one that some readers obey (`<!--[if mso]>`)."""
        if not self._links or "[if" not in self.words.sub("", match[0]).lower():
            return match[0]
        written, position = [], 0
        for number, tag in enumerate(_INNER.finditer(match[0])):
            if tag["broken"]:
                self._refuse_broken(match[0], tag.start(), match.start() + tag.start())
                if number >= MOST_BROKEN:
                    break
                continue
            start, position = position, tag.end("attributes")
            written += [match[0][start : tag.start("attributes")], self._attributes_for_some(tag, match.start())]
        return "".join(written) + match[0][position:]

    def _attributes_for_some(self, tag: re.Match[str], start: int) -> str:
        """Check the attributes of a tag that some readers obey, and hold its links; the comment begins at `start`."""
        name, values = tag["name"].lower(), _values(tag["attributes"])

        def checked(match: re.Match[str]) -> str:
            value, place = _unquoted(match["value"]), self._place(start + tag.start("attributes") + match.start())
            self._refuse_value(name, values, match["name"].lower(), value)
            is_link = match["name"].lower() == "href" and match["value"] is not None
            return self._href(value, {}, place) if is_link else match[0]

        return _ATTRIBUTE.sub(checked, tag["attributes"])

    def _style(self, match: re.Match[str]) -> str:
        opening = self._tag(match, match["rawname"], "rawattributes")
        if not self._styled_once:
            return f"{opening}{match['inside']}{match['rawend']}"
        word = self.words.search(match["inside"])
        if word:
            message = "A style that depends on the customer cannot be inlined once."
            self._report.add(self.place_of(word[0]), message, _EACH)
        inlined, kept = style_sheet.split(match["inside"])
        held = f'<style data-premailer="ignore">{self._word(kept)}</style>' if kept.strip() else ""
        return f"{opening}{inlined}</style>{held}"

    def _tag(self, match: re.Match[str], written: str, group: str) -> str:
        """Hold the attributes of a tag with the name `written`; they are this group of the match."""
        start, name = match.start(group), written.lower()
        for word in self.words.findall(written):
            self._report.add(self.place_of(word), "A tag is not allowed in an element's name.")
        values = _values(match[group])
        held = _ATTRIBUTE.sub(lambda a: self._attribute(name, values, a, start), match[group])
        closing = match[0].startswith("</")
        if not closing:
            self.elements.append((name, values, self._place(match.start())))
        return f"{'</' if closing else '<'}{written}{held}>"

    def _refuse_broken(self, text: str, start: int, offset: int) -> None:
        """Report what begins like a tag at `start`, which is `offset` in the whole text, and is none."""
        begun = _BEGUN.match(text, start)
        assert begun
        sign, name = text[begun.end() : begun.end() + 1], self.words.sub("{{ … }}", begun["name"])
        message = f"The tag <{name} has a {sign} where none may stand." if sign else f"The tag <{name} has no end."
        place = self._place(offset + (begun.end() - start if sign else 0))
        self._report.add(place, message, "Put each attribute's value in quotes. For a < in a text, write &lt;.")

    def _attribute(self, element: str, values: dict[str, str], match: re.Match[str], start: int) -> str:
        name, value = match["name"].lower(), match["value"]
        if self.words.search(name):
            message = "A tag between attributes is not possible; put it inside an attribute's value."
            self._report.add(self.place_of(self.words.findall(name)[0]), message)
        if value is None:
            return match[0]
        value = _unquoted(value)
        inner = self.words.search(value)
        if inner and name in STYLING and self._styled_once:
            message = f"A {name} that depends on the customer cannot be inlined once."
            self._report.add(self.place_of(inner[0]), message, _EACH)
        self._refuse_value(element, values, name, value)
        if name == "href" and element in ("a", "area") and self._links:
            return self._href(value, values, self._place(start + match.start()))
        if name in _FETCHED and inner and self._links:
            place = self._place(start + match.start())
            return f'{name}="{self._word(*self._links(self.parts(value), _UNTRACKED, place))}"'
        if inner and name not in _TEXTS:
            return f'{name}="{self._word(*lexer.without_raw(self.parts(value)))}"'
        return f'{name}="{self._word(value)}"' if inner or name in _FETCHED + _TEXTS else match[0]

    def _refuse_value(self, element: str, values: dict[str, str], name: str, value: str) -> None:
        """Report a customer's value in a script, or where a reader would fetch or follow it unchecked."""
        inner = self.words.search(value)
        if inner and name.startswith("on"):
            self._report.add(self.place_of(inner[0]), "A script must not contain customer values.")
        refreshing = html.unescape(values.get("http-equiv", "")).strip().lower() == "refresh"
        kind = "refresh" if element == "meta" and name == "content" and refreshing else name
        if not inner or kind not in _FIXED:
            return
        shown = [part for part in self.parts(value) if isinstance(part, Segment) and part.kind == "expression"]
        if shown:
            what = f"in a meta {kind}" if kind == "refresh" else f"in '{kind}'"
            self._report.add(shown[0].place, f"No customer's value may stand {what}.", _FIXED[kind])

    def wordless(self, *tokens: str) -> bool:
        """Say whether every link to `{{ tokens }}` is empty: there is nothing in it to read or to click."""
        inside = [text for address, text in self._anchors() if self._leads_to(address, tokens)]
        return bool(inside) and not any(_IMAGE.search(text) or _TAG.sub("", text).strip() for text in inside)

    def _leads_to(self, address: str, tokens: tuple[str, ...]) -> bool:
        return any(isinstance(part, Segment) and part.spells(*tokens) for part in self.parts(address))

    def _anchors(self) -> Iterator[tuple[str, str]]:
        """Give the address and the inside of each link, in one pass."""
        address, start = "", 0
        for match in _ANCHOR.finditer(self.text):
            if not match["end"]:
                found = _ADDRESS.search(match[0])
                address, start = (found[1], match.end()) if found and not address else (address, start)
            elif address:
                yield address, self.text[start : match.start()]
                address = ""

    def _href(self, value: str, values: dict[str, str], place: Place) -> str:
        assert self._links is not None
        written = self._word(*lexer.without_raw(self.parts(value)))
        sent = self._word(*self._links(self.parts(value), values, place))
        self.addresses[sent] = written
        return f'href="{sent}"'


def _values(attributes: str) -> dict[str, str]:
    return {match["name"].lower(): _unquoted(match["value"]) for match in _ATTRIBUTE.finditer(attributes)}


def _unquoted(value: str | None) -> str:
    """Give an attribute's value as it stands between double quotes."""
    return value[1:-1].replace('"', "&quot;") if value and value[0] in "\"'" else value or ""
