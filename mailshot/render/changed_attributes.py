"""Finds selectors that ask for what delivery changes: `style` attributes, and the addresses of tracked links.

The style sheets stay in the mail, so a rule such as `[style*="color"]` would match an element that only got the text by
inlining, and `a[href^="https://shop.example"]` no longer matches a link that was exchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mailshot.render.cascade import Applied
from mailshot.render.document import MailDocument
from mailshot.render.links import opens_program
from mailshot.render.lint import Finding
from mailshot.render.markup import Tag
from mailshot.render.selectors import Selector
from mailshot.render.style_sheet import Rule

Selected = tuple[Selector, Rule]
"""A selector, and the rule it belongs to."""
_NOT_INLINED = (
    "No style of this mail is inlined: this rule asks for the 'style' attribute itself, which inlining changes. "
    "Use a class instead."
)
_LOST_LINK = (
    "This rule asks for the address of a link. Tracked links get another address, so it never applies to them. "
    "Use a class instead."
)


def style_question(document: MailDocument, selected: Iterable[Selected]) -> Finding | None:
    """Return a finding about a rule to which any added declaration makes a difference, such as `[style]`."""
    for selector, rule in selected:
        if any(test.name == "style" and test.operator != "*=" for test in selector.tests):
            return Finding("warning", _NOT_INLINED, document.place(rule.start))
    return None


def sought_in_styles(selected: Iterable[Selected]) -> set[str]:
    """Return the texts that selectors such as `div[style*="margin: 16px 0"]` seek in `style` attributes."""
    return {test.value.lower() for selector, _ in selected for test in selector.tests if test.name == "style"} - {""}


def is_found_anew(sought: Iterable[str], tag: Tag, applied: Sequence[Applied]) -> bool:
    """Return whether a text that is sought in `style` attributes would be found in this tag only once inlined."""
    own = tag.value("style").lower()
    texts = [[item.declaration.text.lower() for item in applied if item.important == important] for important in (0, 1)]
    styled = ";".join([*texts[0], own, *texts[1]])
    return any(text in styled and text not in own for text in sought)


def lost_links(document: MailDocument, selected: Iterable[Selected]) -> Iterator[Finding]:
    """Warn of rules that stay in the sheet and ask for the address of a link, which tracking exchanges."""
    for selector, rule in selected:
        asks = any(
            test.name == "href" and test.operator and not (test.value.startswith("#") or opens_program(test.value))
            for test in selector.tests
        )
        if asks and (rule.is_conditional or not selector.is_static):
            yield Finding("warning", _LOST_LINK, document.place(rule.start))
