"""Writes style rules into `style` attributes with premailer, once per template.

Premailer fetches nothing, and every placeholder must still be in its place afterwards.
"""

from __future__ import annotations

import logging
import re

from premailer import Premailer

from mailshot.render.placeholders import Placeholders
from mailshot.render.problems import TemplateProblems

_HTML = re.compile(r"<html\b", re.IGNORECASE)
_ELEMENT = re.compile(r"<[a-z]", re.IGNORECASE)


def inline(placeholders: Placeholders, report: TemplateProblems) -> str:
    """Inline the styles of a document, and return it with all placeholders in place.

    Everything before `<html` (doctype, first tags) stays as it is. Placeholders that badly nested HTML would lose or
    move are reported.
    """
    opening = _HTML.search(placeholders.text)
    start = opening.start() if opening else 0
    head, document = placeholders.text[:start], placeholders.text[start:]
    if not _ELEMENT.search(document):
        return placeholders.text
    inliner = Premailer(
        allow_network=False,
        disable_validation=True,
        keep_style_tags=False,
        strip_important=False,
        exclude_pseudoclasses=True,
        disable_leftover_css=True,
        align_floating_images=False,
        cssutils_logging_level=logging.CRITICAL,
    )
    inlined: str = inliner.transform(document, pretty_print=False)
    before, after = placeholders.order(document), placeholders.order(inlined)
    if before != after:
        strayed = next((a for a, b in zip(before, [*after, ""], strict=False) if a != b), before[-1] if before else "")
        message = "The HTML around this is not well nested, so it would move or be lost."
        report.add(placeholders.place_of(strayed), message, "Close every element where it was opened.")
    return head + inlined
