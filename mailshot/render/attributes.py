"""Checks what stands in tags and attributes, and puts tracked links in place of the written ones.

A customer's value must not stand where a mail reader would fetch, follow or run it unchecked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mailshot.render import lexer
from mailshot.render.document import MailDocument, Part
from mailshot.render.links import encoded_values
from mailshot.render.markup import Attribute, BrokenTag, Comment, RawText, Tag, is_conditional, scan_comment
from mailshot.render.problems import Place, TemplateProblems

STYLING = ("class", "id", "style")
MAX_BROKEN = 20
"""BrokenTag tags that are reported in one text."""
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
"""Attributes that people read: numbers in them are written for people."""
_EACH = "Write the cases out, or set `inline: each` in the template's settings.yaml (slower: once per mail)."
_QUOTES = "Put each attribute's value in quotes. For a < in a text, write &lt;."


class Links(Protocol):
    """Checks the parts of a URL and returns what to send in their place."""

    def __call__(self, parts: Sequence[Part], tracked: bool, place: Place) -> Sequence[Part]: ...


def check_markup(
    document: MailDocument, report: TemplateProblems, links: Links | None, styled_once: bool
) -> dict[int, list[Part]]:
    """Check every tag, edit the links in the document, and return the URLs as written, by the start of their tag.

    `links` None: the mail is rendered already, so there is nothing of a customer to check. With `styled_once`, a
    class, id or style that depends on the customer is a problem: it cannot be inlined once for all.
    """
    check = _Check(document, report, links, styled_once)
    for markup in document.markup:
        match markup:
            case Tag():
                check.tag(markup)
            case Comment():
                check.comment(markup)
            case RawText():
                check.raw_text(markup)
            case BrokenTag():
                check.broken(markup)
    return check.urls


class _Check:
    def __init__(
        self, document: MailDocument, report: TemplateProblems, links: Links | None, styled_once: bool
    ) -> None:
        self._document, self._report, self._links, self._styled_once = document, report, links, styled_once
        self._broken = 0
        self.urls: dict[int, list[Part]] = {}

    def _place_of_tag(self, text: str) -> Place:
        """Return the place of the first Jinja tag in a part of the text."""
        return self._document.segments(text)[0].place

    def broken(self, broken: BrokenTag) -> None:
        """Report what begins like a tag and is none."""
        self._broken += 1
        if self._broken > MAX_BROKEN:
            return
        name = self._document.words.sub("{{ … }}", broken.name)
        message = (
            f"The tag <{name} has a {broken.sign} where none may stand."
            if broken.sign
            else f"The tag <{name} has no end."
        )
        self._report.add(self._document.place(broken.end), message, _QUOTES)

    def comment(self, comment: Comment) -> None:
        """Check the tags in a comment that some readers obey, and track its links."""
        if not (self._links and is_conditional(comment)):
            return
        for markup in scan_comment(comment):
            if isinstance(markup, BrokenTag):
                self.broken(markup)
                continue
            for attribute in markup.attributes:
                self._refuse_value(markup, attribute)
                if attribute.name == "href" and attribute.value is not None:
                    self._track(attribute, tracked=True)

    def raw_text(self, raw: RawText) -> None:
        """Report a customer's value in a script, or in a style that is inlined once."""
        if not self._document.has_tag(raw.text):
            return
        place = self._place_of_tag(raw.text)
        if raw.name == "script":
            self._report.add(place, "A script must not contain customer values.")
        if raw.name == "style" and self._styled_once:
            self._report.add(place, "A style that depends on the customer cannot be inlined once.", _EACH)

    def tag(self, tag: Tag) -> None:
        """Check a tag and its attributes."""
        if self._document.has_tag(tag.name):
            self._report.add(self._place_of_tag(tag.name), "A tag is not allowed in an element's name.")
        for attribute in tag.attributes:
            self._attribute(tag, attribute)

    def _attribute(self, tag: Tag, attribute: Attribute) -> None:
        if self._document.has_tag(attribute.name):
            message = "A tag between attributes is not possible; put it inside an attribute's value."
            self._report.add(self._place_of_tag(attribute.name), message)
        if attribute.value is None:
            return
        dynamic = self._document.has_tag(attribute.value)
        if dynamic and attribute.name in STYLING and self._styled_once:
            message = f"A {attribute.name} that depends on the customer cannot be inlined once."
            self._report.add(self._place_of_tag(attribute.value), message, _EACH)
        self._refuse_value(tag, attribute)
        if not self._links:
            return
        if attribute.name == "href" and tag.name in ("a", "area"):
            self._track(attribute, tracked=tag.get("data-no-track") is None)
            self.urls[tag.start] = lexer.without_raw(encoded_values(self._document.restore(attribute.value)))
        elif dynamic and attribute.name in _FETCHED:
            self._track(attribute, tracked=False)
        elif dynamic:
            self._quote(attribute)
            if attribute.name not in _TEXTS:
                self._document.write_numbers_plainly(attribute.value_start, attribute.value_end)

    def _refuse_value(self, tag: Tag, attribute: Attribute) -> None:
        """Report a customer's value in a script, or where a reader would fetch or follow it unchecked."""
        if attribute.value is None or not self._document.has_tag(attribute.value):
            return
        if attribute.name.startswith("on"):
            self._report.add(self._place_of_tag(attribute.value), "A script must not contain customer values.")
        refreshing = tag.value("http-equiv").strip().lower() == "refresh"
        kind = "refresh" if tag.name == "meta" and attribute.name == "content" and refreshing else attribute.name
        if kind not in _FIXED:
            return
        printed = [part for part in self._document.segments(attribute.value) if part.kind == "expression"]
        if printed:
            where = f"in a meta {kind}" if kind == "refresh" else f"in '{kind}'"
            self._report.add(printed[0].place, f"No customer's value may stand {where}.", _FIXED[kind])

    def _track(self, attribute: Attribute, tracked: bool) -> None:
        """Put what the links say in place of a URL."""
        assert self._links
        written = self._document.restore(attribute.value or "")
        sent = self._links(written, tracked, self._document.place(attribute.start))
        dynamic = self._document.has_tag(attribute.value or "")
        if dynamic:
            self._quote(attribute)
        if sent != written:
            self._document.replace(attribute.value_start, attribute.value_end, *sent)
        elif dynamic:
            self._document.replace(attribute.value_start, attribute.value_end, *lexer.without_raw(written))

    def _quote(self, attribute: Attribute) -> None:
        """Put quotes around a value that has none: a customer's value with a blank would end it."""
        if not attribute.quote:
            self._document.replace(attribute.value_start, attribute.value_start, '"')
            self._document.replace(attribute.value_end, attribute.value_end, '"')
