"""Quality findings about a mail that works: missing plain text, heavy images, missing alt texts."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mailshot.errors import Problem
from mailshot.facts import language_matching
from mailshot.facts.locales import ENGLISH
from mailshot.render.document import MailDocument
from mailshot.render.enclosures import INLINE
from mailshot.render.lexer import Segment
from mailshot.render.links import LOGO, LinkSlots
from mailshot.render.markup import Attribute, Comment, Tag, is_conditional, scan_comment, unescape_attribute
from mailshot.render.problems import Place, project_path
from mailshot.render.source import TemplateSource

POSTAL, UNSUBSCRIBE = "sender.postal_address", "links.unsubscribe"
_WITH_PICTURE = ("img", "input", "v:fill", "v:image", "v:imagedata")
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. An error prevents a launch, a warning does not.

    `bulk` findings matter only on topics that need consent: a receipt needs no unsubscribe link.
    """

    level: Literal["error", "warning"]
    message: str
    place: Place
    bulk: bool = False
    costly: bool = False
    """Whether the trial render for some made-up customer exceeded the budget."""
    excerpt: str = ""
    """The line of its place."""

    def __str__(self) -> str:
        return f"{self.place}: {self.level}: {self.message}"

    def as_problem(self) -> Problem:
        """Return it as it is shown to the author, with its line."""
        path = project_path(self.place.file)
        return Problem(path, self.place.line, self.place.column, self.message, self.excerpt)


@dataclass(frozen=True, slots=True)
class MailPart:
    """A part of a mail: its file, and the facts it names."""

    file: str
    facts: frozenset[str]


def examine(
    subject: Iterable[Segment],
    document: MailDocument,
    slots: LinkSlots,
    subject_file: str,
    html: MailPart,
    text: MailPart | None,
) -> tuple[Finding, ...]:
    """Return the findings about a compiled mail, errors first. `text` is its body.txt; None: derived from HTML."""
    findings = [
        *_links(slots),
        *_elements(document, html.file),
        *_pictures(document),
        *_printed_logos(document),
        *_required(slots, document, html),
    ]
    if not "".join(piece.text for piece in subject).strip():
        findings.append(Finding("error", "The subject is missing.", Place(subject_file, 0, 0)))
    if text:
        findings += _required_in_text(text)
    return tuple(sorted(findings, key=lambda finding: (finding.level, finding.place)))


def _required(slots: LinkSlots, document: MailDocument, html: MailPart) -> Iterator[Finding]:
    place = Place(html.file, 0, 0)
    if POSTAL not in html.facts:
        yield Finding("error", f"The sender's postal address is missing: {{{{ {POSTAL} }}}}.", place, bulk=True)
    if "unsubscribe" not in slots.own_pages:
        example = f'<a href="{{{{ {UNSUBSCRIBE} }}}}">'
        yield Finding("error", f"There is no link to unsubscribe: {example}.", place, bulk=True)
    elif not _is_clickable(document, "links", ".", "unsubscribe"):
        yield Finding("error", "The unsubscribe link has no text or image, so it cannot be clicked.", place, bulk=True)


def _required_in_text(text: MailPart) -> Iterator[Finding]:
    for name in (POSTAL, UNSUBSCRIBE):
        if name not in text.facts:
            message = f"The plain text has no {{{{ {name} }}}}."
            yield Finding("warning", message, Place(text.file, 0, 0), bulk=True)


def _links(slots: LinkSlots) -> Iterator[Finding]:
    for place in slots.insecure:
        yield Finding("warning", "The link is plain http; use https.", place)
    for place in slots.without_target:
        yield Finding("warning", "The link leads nowhere.", place)


def _is_clickable(document: MailDocument, *tokens: str) -> bool:
    """Return whether any link to `{{ tokens }}` has text or an image in it."""
    start: int | None = None
    for tag in (markup for markup in document.markup if isinstance(markup, Tag)):
        if start is not None and tag.name == "img":
            return True
        if tag.name != "a":
            continue
        if start is not None and _TAG.sub("", document.text[start : tag.start]).strip():
            return True
        href = None if tag.closing else tag.get("href")
        leads_there = href is not None and any(
            segment.spells(*tokens) for segment in document.segments(href.value or "")
        )
        start = tag.end if leads_there else None
    return False


def _elements(document: MailDocument, body_file: str) -> Iterator[Finding]:
    tags = [markup for markup in document.markup if isinstance(markup, Tag) and not markup.closing]
    for tag in tags:
        place = document.place(tag.start)
        if tag.name == "img" and tag.get("alt") is None:
            yield Finding("warning", "The image has no alt text.", place)
        if tag.name == "html" and not tag.value("lang"):
            yield Finding("warning", 'The mail does not say its language: <html lang="en">.', place)
        if tag.name == "script":
            yield Finding("error", "Mail readers never run scripts.", place)
    if not any(tag.name == "html" for tag in tags):
        message = "The mail is not a whole document: <!doctype html><html>…</html>."
        yield Finding("warning", message, Place(body_file, 0, 0))


def _pictures(document: MailDocument) -> Iterator[Finding]:
    """Check the addresses of pictures, also of those that only Outlook shows."""
    for tag in _all_tags(document):
        for attribute in tag.attributes if tag.get(INLINE) is None else ():
            if attribute.name == "background" or (attribute.name == "src" and tag.name in _WITH_PICTURE):
                yield from _picture(document, attribute)


def _all_tags(document: MailDocument) -> Iterator[Tag]:
    for markup in document.markup:
        if isinstance(markup, Tag):
            yield markup
        elif isinstance(markup, Comment) and is_conditional(markup):
            yield from (inner for inner in scan_comment(markup) if isinstance(inner, Tag))


def _picture(document: MailDocument, attribute: Attribute) -> Iterator[Finding]:
    written = attribute.value or ""
    if document.words.match(written.lstrip()):
        return  # checked for each customer
    url, place = unescape_attribute(written).strip().lower(), document.place(attribute.start)
    if not url:
        yield Finding("warning", "The picture has no address.", place)
    elif url.startswith("data:"):
        message = "Gmail and Outlook do not show pictures in data: addresses. Put it on a server, and write its URL."
        yield Finding("warning", message, place)
    elif url.startswith("http:"):
        yield Finding("warning", "The picture's address is plain http; use https.", place)
    elif not url.startswith(("https://", "cid:")):
        message = (
            "Mail readers cannot find this picture. Put it on a server, and write its whole address: https://… "
            "Or add data-inline to the tag, to send a file of the template's folder with the mail."
        )
        yield Finding("error", message, place)


def _printed_logos(document: MailDocument) -> Iterator[Finding]:
    """Report addresses of the logo that readers would see as a text."""
    tags = [markup for markup in document.markup if isinstance(markup, Tag | Comment)]
    starts = [0, *(tag.start for tag in tags)]
    ends = [0, *(tag.end if isinstance(tag, Tag) else tag.start + len(tag.text) for tag in tags)]
    for match in document.words.finditer(document.text):
        is_in_tag = match.start() < ends[bisect_right(starts, match.start()) - 1]
        if document.segment(match[0]).spells(*LOGO) and not is_in_tag:
            message = 'This shows the address of the logo as a text. Write <img src="{{ company.logo }}">.'
            yield Finding("error", message, document.place(match.start()))


def mixed_languages(source: TemplateSource, document: MailDocument, facts: Collection[str]) -> Iterator[Finding]:
    """Warn where a translation sends parts in different languages to one customer, or leaves one out."""
    own = source.own_parts
    body, text = (Place(source.file(part), 0, 0) for part in ("body.html", "body.txt"))
    tag, has_preheader = source.language, f"{source.name}/preheader.txt" in source.files
    if own.keys() & {"body.html", "body.txt"} and "subject.txt" not in own:
        message = f"The body is translated, but not the subject: write subject.{tag}.txt."
        yield Finding("warning", message, body if "body.html" in own else text)
    if "body.html" in own and has_preheader and "preheader.txt" not in own:
        message = f"The preheader is not translated, so that this mail has none: write preheader.{tag}.txt."
        yield Finding("warning", message, body)
    if "body.txt" in own and "body.html" not in own:
        message = f"The plain text is translated, but not the HTML, which most customers see: write body.{tag}.html."
        yield Finding("warning", message, text)
    if "body.html" in own and "offers.reason" in facts and not language_matching.same_language(tag, ENGLISH):
        yield Finding("warning", "An offer's 'reason' is in English: write it here, by 'times'.", body)
    if "body.html" in own:
        yield from _other_language(document, tag)


def _other_language(document: MailDocument, language: str) -> Iterator[Finding]:
    """Warn of a translation that says that it is in another language, perhaps by the layout of all."""
    for tag in (markup for markup in document.markup if isinstance(markup, Tag) and not markup.closing):
        declared = tag.value("lang") if tag.name == "html" else None
        if declared and not document.has_tag(declared) and not language_matching.same_language(declared, language):
            message = f"The mail says that its language is '{declared}': write <html lang=\"{{{{ language }}}}\">."
            yield Finding("warning", message, document.place(tag.start))
