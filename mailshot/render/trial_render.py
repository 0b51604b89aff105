"""Renders a new mail for made-up customers, to find what costs too much before a real customer sets it off.

The trial goes through every branch of every `if`, one after the other, so that a bomb that waits for one customer's
town goes off here. What fails because the values are made up (a text where a number is due) is not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from mailshot.render import compiler, variables
from mailshot.render.budget import BUDGET, TooMuchWork
from mailshot.render.links import OWN_PAGES
from mailshot.render.lint import Finding
from mailshot.render.problems import RenderError
from mailshot.render.template import CompiledPart, MailTemplate
from mailshot.render.vocabulary import example_values

SPECIMENS: tuple[object, ...] = (None, 1000, "many words " * 10)
"""What all facts of a made-up customer are."""
_REMEDY = "Use fewer loops inside one another, and shorter texts and lists in them."
OFFERS = 6
_OWN_URL = "https://mailshot.invalid/"
MAX_SECONDS = 0.4
"""Seconds of computing for one made-up customer: less than all have (see mail), so that what is slow is named."""


def run_trial(mail: MailTemplate, vocabulary: Mapping[str, Collection[str]]) -> tuple[Finding, ...]:
    """Render a mail for made-up customers, and return an error for each part that costs too much.

    The mail can still be sent: the customers who do not set it off get theirs.
    """
    findings = [_trial_findings(part, list(_customers(vocabulary))) for part in mail.parts]
    # A plain text that is drawn from the HTML has the same tags at the same places.
    return tuple(dict.fromkeys(finding for finding in findings if finding))


def examine_looks(mail: MailTemplate, vocabulary: Mapping[str, Collection[str]]) -> tuple[Finding, ...]:
    """Return the findings about contrast and hidden links of a mail whose styles are inlined for each customer.

    A made-up customer for whom the mail cannot be rendered is left out. A link to unsubscribe that some see is fine.
    """
    looks: list[tuple[Finding, ...]] = []
    file = mail.parts[0].places[0].file
    for values in _customers(vocabulary):
        own_links = {page: f"{_OWN_URL}{page}" for page in OWN_PAGES}
        with suppress(RenderError):
            BUDGET.start_clock(MAX_SECONDS)
            html = mail.parts[0].render({**values, "links": own_links})
            looks.append(compiler.rendered_looks(html, file, own_links["unsubscribe"]))
    most: tuple[Finding, ...] = max(looks, key=len, default=())
    return tuple(item for item in most if item.level == "warning" or all(item in some for some in looks))


def _trial_findings(part: CompiledPart, customers: Sequence[Mapping[str, object]]) -> Finding | None:
    every = part.every_branch()
    for written in (part, every) if every is not part else (part,):
        for values in customers:
            try:
                BUDGET.start_clock(MAX_SECONDS)
                written.render(values)
            except RenderError as error:
                if isinstance(error.__cause__, TooMuchWork):
                    message = f"This costs too much, at least for some customers: {error.reason}. {_REMEDY}"
                    return Finding("error", message, error.place or part.places[0], costly=True)
    return None


class _AnyLink:
    """Replaces `_link`: returns every URL unchanged."""

    mail_function = True

    def __call__(self, number: int, tracked: int, open_host: int, address: object) -> object:
        return address


def _customers(vocabulary: Mapping[str, Collection[str]]) -> Iterator[Mapping[str, object]]:
    for specimen in SPECIMENS:
        values = example_values(vocabulary, specimen, OFFERS)
        yield values | {"_link": _AnyLink(), "_pixel": "", variables.LANGUAGE: specimen}
