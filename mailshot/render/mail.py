"""Owns a mail compiled once and rendered per customer; refuses to look up values or consent itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from mailshot import errors
from mailshot.render import confined, report, text
from mailshot.render.compiled import Compiled
from mailshot.render.facts import ListOf
from mailshot.render.failure import RenderError
from mailshot.render.links import Link, LinkRewriter, Tracking
from mailshot.render.lint import Finding
from mailshot.render.meter import BUDGET
from mailshot.render.report import Place
from mailshot.render.source import Source

__all__ = ["Finding", "Link", "ListOf", "MailTemplate", "RenderError", "RenderedMail", "Tracking", "compile_mail"]

log = logging.getLogger(__name__)
Vocabulary = Mapping[str, Collection[str]]
KEPT = 256
"""Compiled mails kept in this process."""
INLINE_SECONDS = 0.8
"""Seconds of computing for inlining one customer's mail, besides what rendering it left of its own."""
REHEARSAL_SECONDS = 0.5
"""Seconds of computing for trying a new mail with made-up customers."""
LONGEST_SUBJECT = 2_000
"""Characters. Mail readers show less than a hundred."""


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """One customer's mail. `links` are the addresses that were exchanged; empty without tracking."""

    subject: str
    html: str
    text: str
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class MailTemplate:
    """A compiled template. `facts` are dotted names, `findings` what lint has to say.

    `files` are those it is made of: of the shared ones only what it extends, includes or imports.
    """

    name: str
    facts: frozenset[str]
    files: frozenset[str]
    findings: tuple[Finding, ...]
    per_mail_inlining: bool
    _subject: Compiled
    _html: Compiled
    _text: Compiled
    _drawn: bool
    _link_places: tuple[Place, ...]
    _allowed_hosts: frozenset[str]

    def render(self, values: Mapping[str, object], tracking: Tracking | None) -> RenderedMail:
        """Render for one customer; without tracking there is no pixel and no exchanged link.

        Raises RenderError for what fails for this customer alone: a missing value, an address on no allowed host.
        """
        BUDGET.start_clock()
        linker = LinkRewriter(self._link_places, self._allowed_hosts, tracking)
        html = self._html.render({**values, "_link": linker, "_pixel": _pixel(tracking)})
        subject = " ".join(self._subject.render(values).split())
        if len(subject) > LONGEST_SUBJECT:
            place = Place(f"{self.name}/subject.txt", 0, 0)
            raise RenderError(f"The subject is longer than {LONGEST_SUBJECT} characters.", place)
        words = text.tidy(self._text.render(values), self._drawn)
        if self.per_mail_inlining:
            html = self._inlined(html, BUDGET.seconds_left())
        return RenderedMail(subject, html, words, tuple(linker.links.values()))

    @property
    def parts(self) -> tuple[Compiled, ...]:
        """HTML, plain text and subject, each with the place of its file."""
        return self._html, self._text, self._subject

    def _inlined(self, html: str, unused: float) -> str:
        """Inline the styles of a customer's mail that took all but `unused` seconds of those it has for rendering."""
        seconds = min(confined.SECONDS, INLINE_SECONDS + max(0.0, unused))
        try:
            return str(confined.run("inline", html, self.name, seconds=seconds))
        except (confined.Overrun, confined.Failed) as error:
            what = "takes too long" if isinstance(error, confined.Overrun) else f"fails: {error}"
            place = Place(f"{self.name}/body.html", 0, 0)
            raise RenderError(f"Inlining the styles of this customer's mail {what}.", place) from error


_cache: dict[tuple[object, ...], MailTemplate | errors.InvalidInput] = {}
_lock = threading.Lock()


def compile_mail(
    source: Source, vocabulary: Vocabulary, *, allowed_hosts: Collection[str] = (), rehearsed: bool = True
) -> MailTemplate:
    """Compile a source, once per content in this process.

    `vocabulary` maps each name a template may use to its fields. `allowed_hosts` are the lower-case hosts to which a
    link that is one whole `{{ … }}` may lead. Unless `rehearsed`, the mail is not tried with made-up customers and has
    no findings about its cost. Raises InvalidInput with every problem of the template.
    """
    words = tuple(sorted((name, type(fields).__name__, tuple(sorted(fields))) for name, fields in vocabulary.items()))
    hosts = frozenset(host.lower() for host in allowed_hosts)
    key = (source.digest, words, hosts, rehearsed)
    with _lock:
        known = _cache.pop(key, None)
    mail = known or _compile(source, words, hosts, rehearsed)
    with _lock:
        _cache[key] = mail
        while len(_cache) > KEPT:
            del _cache[next(iter(_cache))]
    if isinstance(mail, errors.InvalidInput):
        raise errors.InvalidInput(mail.problems)
    return mail


def _compile(
    source: Source, words: object, hosts: frozenset[str], rehearsed: bool
) -> MailTemplate | errors.InvalidInput:
    """Have a source compiled, and tried, where it can do no harm. One that took too long is not tried again."""
    try:
        with confined.same_process():
            mail: MailTemplate = confined.run("compile", source.name, dict(source.files), words, hosts)
            findings = _rehearse(mail) if rehearsed else ()
        return replace(mail, findings=(*findings, *mail.findings)) if findings else mail
    except confined.Overrun:
        message, remedy = _OVERRUN, _SMALLER
    except confined.Failed as error:
        log.error("the template %s cannot be compiled: %s", source.name, error)
        message, remedy = "This template cannot be compiled.", _REPORT
    return errors.InvalidInput([errors.Problem(report.shown(source.file("body.html")), 0, 0, message, remedy=remedy)])


def _rehearse(mail: MailTemplate) -> tuple[Finding, ...]:
    """Have the mail that was just compiled tried with made-up customers. A large one may be sound and take too long."""
    place = Place(mail.parts[0].places[0].file, 0, 0)
    try:
        return tuple(confined.run("rehearse", seconds=REHEARSAL_SECONDS))
    except confined.OutOfTime:
        return (Finding("warning", _UNTRIED, place),)
    except confined.Overrun:
        message = f"This costs more than {confined.MEGABYTES} MB of memory, at least for some customers. {_SMALLER}"
        return (Finding("error", message, place, costly=True),)
    except (confined.Failed, errors.Unavailable) as error:
        log.error("the template %s cannot be tried: %s", mail.name, error)
        return (Finding("warning", _UNTRIED, place),)


_UNTRIED = "This mail could not be tried with made-up customers in full, so what costs too much for some may show late."
_LIMITS = f"{confined.SECONDS:g} seconds of computing or {confined.MEGABYTES} MB of memory"
_OVERRUN = f"To prepare this mail takes more than {_LIMITS}."
_REPORT = "This is a bug in Mailshot; please report it with the template."
_SMALLER = "Use fewer tags, elements and style rules, and fewer of them inside one another."


def _pixel(tracking: Tracking | None) -> Markup:
    if tracking is None:
        return Markup("")
    style = "display:block;width:1px;height:1px;border:0"
    return Markup('<img src="{}" width="1" height="1" alt="" style="{}">').format(escape(tracking.pixel), style)
