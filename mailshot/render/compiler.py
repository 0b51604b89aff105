"""Compiles a template source into a mail template: everything that is done once, not per customer.

Flatten, find the variables, check the markup, inline the styles, derive the plain text, compile.
`compile_process` limits time and memory.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from markupsafe import escape

from mailshot import errors
from mailshot.render import (
    enclosures,
    html_tree,
    lint,
    lint_clients,
    lint_contrast,
    lint_links,
    lint_texts,
    logo,
    plain_text,
    sandbox,
    variables,
)
from mailshot.render.attributes import check_markup
from mailshot.render.computed_styles import ComputedStyles, ElementStyles
from mailshot.render.document import MailDocument, Part
from mailshot.render.flatten import Flattener
from mailshot.render.html_tree import HtmlTree
from mailshot.render.inline_css import Inlining, inline
from mailshot.render.lexer import Segment, expression, parse, statement, tokens_of
from mailshot.render.links import LOGO, LinkSlots, encoded_in_text
from mailshot.render.lint import Finding
from mailshot.render.mail_settings import MailSettings, attachment_places, read_settings
from mailshot.render.markup import Tag
from mailshot.render.problems import Place, RenderError, TemplateProblems
from mailshot.render.source import TemplateSource
from mailshot.render.template import CompiledPart, MailTemplate, Vocabulary, compile_parts

_HIDDEN = "display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;font-size:1px;line-height:1px;mso-hide:all"
_PADDING = "&#847;&zwnj;&nbsp;"
_PADDINGS = 40
"""Lists of mails show some 140 characters: the preheader, then these blanks."""
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


def compile_source(source: TemplateSource, vocabulary: Vocabulary, hosts: frozenset[str]) -> MailTemplate:
    """Compile a source. Raises InvalidInput with every problem of the template."""
    report = TemplateProblems(source.files)
    settings = _settings(source, report)
    inlines_each_mail = settings.inline == "each"
    flattener = Flattener(source.files, sandbox.HTML, report)
    flat = {part: flattener.flatten(source.file(part)) for part in _texts(source)}
    needed = {part: _facts(source, part, pieces, vocabulary, report) for part, pieces in flat.items()}
    slots = LinkSlots(report)
    document = MailDocument(flat["body.html"])
    urls = check_markup(document, report, slots, styled_once=not inlines_each_mail)
    facts_used = frozenset[str]().union(*needed.values())
    pictures, attached = _enclosed_files(source, document, settings, logo.FACT in facts_used, report)
    report.raise_if_any()
    tree = html_tree.build(document)
    inlining = None if inlines_each_mail else inline(document, tree)
    plain: list[Part] = (
        [*encoded_in_text(flat["body.txt"])] if "body.txt" in flat else plain_text.derive(document, tree, urls, report)
    )
    _add_pixel(document)
    if "preheader.txt" in flat:
        _add_preheader(document, flat["preheader.txt"])
    sent = document.parts()
    html, text, subject = _compile(source, sent, plain, flat["subject.txt"], report)
    findings = [
        *_findings(source, flat["subject.txt"], document, slots, needed),
        *_text_findings(source, flat, document),
        *_look_findings(document, tree, inlining, source.file("body.html")),
        *lint_clients.weight(sent, source.file("body.html")),
    ]
    findings.sort(key=lambda finding: (finding.level, finding.place))
    used = flattener.files | ({source.file("settings.yaml")} & source.files.keys())
    derived, places = "body.txt" not in flat, tuple(slots.places)
    return MailTemplate(
        source.name, facts_used, used, tuple(findings), inlines_each_mail, pictures, attached,
        subject, html, text, derived, places, hosts,
    )  # fmt: skip


def _compile(
    source: TemplateSource, html: list[Part], text: list[Part], subject: list[Segment], report: TemplateProblems
) -> tuple[CompiledPart, CompiledPart, CompiledPart]:
    """Compile the three parts of a mail. Raises InvalidInput with every problem that was reported."""
    compiled = (
        compile_parts(html, source.file("body.html"), sandbox.HTML, report),
        compile_parts(_texts_only(text), source.file("body.txt"), sandbox.TEXT, report),
        compile_parts(_texts_only(subject), source.file("subject.txt"), sandbox.TEXT, report),
    )
    report.raise_if_any()
    page, words, line = compiled
    assert page
    assert words
    assert line
    return page, words, line


def _texts(source: TemplateSource) -> list[str]:
    return [
        part for part in ("subject.txt", "preheader.txt", "body.html", "body.txt") if source.file(part) in source.files
    ]


def _texts_only(parts: Collection[Part]) -> list[Part]:
    """Turn pieces of plain data into text."""
    return [part.text if isinstance(part, Segment) and part.kind == "data" else part for part in parts]


def _facts(
    source: TemplateSource, part: str, pieces: list[Segment], vocabulary: Vocabulary, report: TemplateProblems
) -> frozenset[str]:
    for piece in pieces if part != "body.html" else ():
        if piece.spells(*LOGO):
            report.add(piece.place, "A text cannot show a picture.", "Write {{ company.brand }}.")
    tree, places = parse(pieces, source.file(part), sandbox.HTML, report)
    return variables.find(tree, places, vocabulary, report)


def _findings(
    source: TemplateSource,
    subject: list[Segment],
    document: MailDocument,
    slots: LinkSlots,
    needed: Mapping[str, frozenset[str]],
) -> tuple[Finding, ...]:
    html, plain = (
        lint.MailPart(source.file(part), needed[part]) if part in needed else None for part in ("body.html", "body.txt")
    )
    assert html
    return (
        *lint.examine(subject, document, slots, source.file("subject.txt"), html, plain),
        *lint.mixed_languages(source, document, frozenset[str]().union(*needed.values())),
    )


def _text_findings(
    source: TemplateSource, flat: Mapping[str, list[Segment]], document: MailDocument
) -> Iterator[Finding]:
    yield from lint_texts.subject(flat["subject.txt"], source.file("subject.txt"))
    if "preheader.txt" in flat:
        yield from lint_texts.preheader(flat["preheader.txt"], flat["subject.txt"], source.file("preheader.txt"))
    if "body.txt" in flat:
        yield from lint_texts.placeholders(flat["body.txt"])
    yield from lint_texts.body(document)


def _look_findings(document: MailDocument, tree: HtmlTree, inlining: Inlining | None, file: str) -> Iterator[Finding]:
    """Yield the findings about styles and looks. Without `inlining` they are inlined for each customer."""
    yield from lint_clients.style_sheets(document)
    styles = inlining.styles if inlining else ElementStyles({})
    computed = ComputedStyles(tree, styles) if inlining else None
    yield from lint_clients.features(document, tree, styles, computed.gone if computed else set())
    yield from lint_links.examine(document, tree, computed, file)
    if inlining and computed:
        yield from inlining.findings
        yield from lint_contrast.examine(document, computed)


def _settings(source: TemplateSource, report: TemplateProblems) -> MailSettings:
    file = source.file("settings.yaml")
    try:
        return read_settings(source.files.get(file, ""), file)
    except errors.InvalidInput as error:
        for problem in error.problems:
            report.add(Place(file, problem.line, problem.column), problem.message, problem.remedy)
        return MailSettings()


def _enclosed_files(
    source: TemplateSource, document: MailDocument, settings: MailSettings, shows_logo: bool, report: TemplateProblems
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the Content-IDs of the mail's pictures by path, and the paths of its attachments."""
    file = source.file("settings.yaml")
    places = attachment_places(source.files[file], file) if settings.attachments else ()
    written = zip(settings.attachments, places, strict=True)
    pictures = enclosures.inline_pictures(document, source.name, source.enclosed, source.enclosable, report)
    if shows_logo and source.logo:
        pictures[source.logo] = enclosures.content_id(source.enclosed[source.logo])
    attached = enclosures.attachments(written, source.name, source.enclosed, source.enclosable, report)
    enclosures.check_size((*pictures, *attached), source.enclosed, Place(source.file("body.html"), 0, 0), report)
    return pictures, attached


def _add_pixel(document: MailDocument) -> None:
    """Put the open pixel before the end of the body; without an end tag, at the end of the mail."""
    ends = {markup.name: markup.start for markup in document.markup if isinstance(markup, Tag) and markup.closing}
    offset = ends.get("body", ends.get("html", len(document.text)))
    document.replace(offset, offset, expression(tokens_of("_pixel", Place("", 0, 0)), Place("", 0, 0)))


def _add_preheader(document: MailDocument, pieces: Collection[Segment]) -> None:
    """Put the preheader, a plain text, at the beginning of the body: hidden, with blanks that keep the body out of it.

    A customer for whom it is empty gets the beginning of the body instead.
    """
    tags = [markup for markup in document.markup if isinstance(markup, Tag)]
    ends = {tag.name: tag.end for tag in reversed(tags) if tag.closing == (tag.name == "head")}
    offset = next((ends[name] for name in ("body", "head", "html") if name in ends), 0)
    place = document.place(offset)

    def tag(text: str) -> Segment:
        return statement(tokens_of(text, place), place)

    document.replace(
        offset,
        offset,
        tag("set _preheader"),
        *(piece if piece.tokens else escape(piece.text) for piece in pieces),
        tag("endset"),
        tag("if _preheader | trim"),
        f'<div style="{_HIDDEN}" aria-hidden="true">',
        expression(tokens_of("_preheader", place), place),
        f"{_PADDING * _PADDINGS}</div>",
        tag("endif"),
    )


def inline_rendered(html: str, file: str) -> str:
    """Inline the styles of one rendered mail of the template `file`. Raises RenderError for a tag without an end."""
    document, _, _ = _inlined(html, file)
    return "".join(part for part in document.parts() if isinstance(part, str))


def rendered_looks(html: str, file: str, unsubscribe_url: str) -> tuple[Finding, ...]:
    """Return what a rendered mail of a template with `inline: each` tells about its looks.

    Its findings have no line, for a rendered line is none of a file. Raises RenderError for a tag without an end.
    """
    document, tree, inlining = _inlined(html, file)
    computed, place = ComputedStyles(tree, inlining.styles), Place(file, 0, 0)
    is_hidden = lint_links.is_unsubscribe_hidden(tree, computed, unsubscribe_url)
    hidden = [lint_links.hidden_unsubscribe(place)] if is_hidden else []
    return (*hidden, *(replace(finding, place=place) for finding in lint_contrast.examine(document, computed)))


def _inlined(html: str, file: str) -> tuple[MailDocument, HtmlTree, Inlining]:
    """Inline the styles of a rendered mail. Raises RenderError for a tag without an end."""
    place = Place(file, 0, 0)
    document = MailDocument([Segment("data", _CONTROLS.sub(" ", html), place)])
    report = TemplateProblems({})
    check_markup(document, report, None, styled_once=False)
    if report:
        raise RenderError("A tag of the rendered HTML has no end, so its styles cannot be inlined.", place)
    tree = html_tree.build(document)
    return document, tree, inline(document, tree)
