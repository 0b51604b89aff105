"""A mail template: compiled once, rendered per customer."""

from __future__ import annotations

import logging
import marshal
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType, TracebackType
from typing import Any

import jinja2
from markupsafe import Markup, escape

from mailshot import errors
from mailshot.render import compile_process, instrument, plain_text, problems, sandbox
from mailshot.render.budget import BUDGET, TooMuchWork
from mailshot.render.lexer import Segment
from mailshot.render.links import LinkRewriter, LinkTarget, Tracking
from mailshot.render.lint import Finding
from mailshot.render.problems import Place, RenderError, TemplateProblems
from mailshot.render.source import TemplateSource
from mailshot.render.variables import ListType

_OPENING = re.compile(r"\{[{%][-+]?")
_ALONE = re.compile(r"^[ \t]*(\x01(?:[ \t]*\x01)*)[ \t]*(?:\n|\Z)", re.MULTILINE)
_MARKS = re.compile(r"[\x01\x02]")
_BRACE = re.compile(r"\{(?=[{%#])")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A text ready to render; `places` gives, by its line, where each tag was written."""

    template: jinja2.Template
    places: Sequence[Place]
    size: int
    code: CodeType
    source: str = ""
    """What was compiled; not kept when it is handed from one process to another."""

    def __reduce__(self) -> tuple[Callable[..., Compiled], tuple[Any, ...]]:
        """Pickle the code of the template: the other process need not compile it again."""
        return _restored, (marshal.dumps(self.code), list(self.places), self.size, self.template.environment.autoescape)

    def every_branch(self) -> Compiled:
        """Return it compiled so that each `if` shows all its branches, whatever its conditions say."""
        environment = self.template.environment
        assert isinstance(environment, sandbox.MailEnvironment)
        branches = instrument.EveryBranch()
        tree = branches.visit(environment.parse(self.source))
        if not branches.changed:
            return self
        return _made(environment, environment.compile(environment.instrumented(tree)), self.places, self.size)

    def render(self, values: Mapping[str, object]) -> str:
        """Render for one customer. Raises RenderError with the place of the tag that failed."""
        chunks: list[str] = []
        total = 0
        BUDGET.reset()
        try:
            for chunk in self.template.root_render_func(self.template.new_context(values)):  # type: ignore[arg-type]
                total += len(chunk)
                if total > sandbox.LARGEST_OUTPUT:
                    raise TooMuchWork(f"the text is longer than {sandbox.LARGEST_OUTPUT} characters")
                chunks.append(chunk)
        except RenderError:
            raise
        except Exception as error:
            message = str(error) or type(error).__name__
            raise RenderError(message, self._place(error.__traceback__)) from error
        return "".join(chunks)

    def _place(self, trace: TracebackType | None) -> Place | None:
        line = 0
        while trace is not None:
            if trace.tb_frame.f_code is self.template.root_render_func.__code__:
                line = self.template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return self.places[min(line, len(self.places) - 1)] if line else None


def compile_parts(
    parts: Sequence[str | Segment], file: str, environment: sandbox.MailEnvironment, report: TemplateProblems
) -> Compiled | None:
    """Compile text and tags into one template; what Python cannot compile goes to the report.

    A line that holds nothing but statements leaves nothing behind, not even its end.
    """
    pieces = iter([part for part in parts if isinstance(part, Segment)])
    source: list[str] = []
    places = [Place(file, 1, 1)] * 2
    for text in re.split(r"([\x01\x02])", _marked(parts)):
        if _MARKS.fullmatch(text):
            piece = next(pieces)
            text = _broken(piece)
            places += [piece.place] * text.count("\n")
        else:
            text = _BRACE.sub("{{ '{' }}", text)
            places += [places[-1]] * text.count("\n")
        source.append(text)
    try:
        tree = environment.instrumented(environment.parse("".join(source)))
        code = environment.compile(tree)
    except (SyntaxError, RecursionError, jinja2.TemplateSyntaxError):
        report.add(
            Place(file, 0, 0), "The tags are nested too deeply.", "Use fewer loops and conditions inside others."
        )
        return None
    size = sum(len(part) for part in parts if isinstance(part, str))
    return _made(environment, code, places, size, "".join(source))


def _made(
    environment: sandbox.MailEnvironment, code: CodeType, places: Sequence[Place], size: int, source: str = ""
) -> Compiled:
    template = jinja2.Template.from_code(environment, code, environment.make_globals(None))
    return Compiled(template, places, size, code, source)


def _restored(code: bytes, places: Sequence[Place], size: int, autoescape: bool) -> Compiled:
    # The code was compiled by us from a checked template; a worker that ran it would trust it as much.
    return _made(sandbox.HTML if autoescape else sandbox.TEXT, marshal.loads(code), places, size)  # nosec B302


def _marked(parts: Sequence[str | Segment]) -> str:
    """Join the parts with a mark for each tag, and drop the lines that are nothing but statements."""
    shown = [
        _MARKS.sub(" ", part) if isinstance(part, str) else "\x01" if part.kind == "statement" else "\x02"
        for part in parts
    ]
    return _ALONE.sub(lambda match: re.sub(r"[ \t]", "", match[1]), "".join(shown))


def _broken(piece: Segment) -> str:
    """Begin a new line inside a tag, which changes nothing but gives the tag a line number of its own."""
    if piece.kind == "raw":
        return piece.text
    opening = _OPENING.match(piece.text)
    return piece.text if opening is None else opening[0] + "\n" + piece.text[opening.end() :]


__all__ = [
    "Finding",
    "LinkTarget",
    "ListType",
    "MailTemplate",
    "RenderError",
    "RenderedMail",
    "Tracking",
    "compile_mail",
]

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
    links: tuple[LinkTarget, ...] = ()


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
        words = plain_text.tidy(self._text.render(values), self._drawn)
        if self.per_mail_inlining:
            html = self._inlined(html, BUDGET.seconds_left())
        return RenderedMail(subject, html, words, tuple(linker.links.values()))

    @property
    def parts(self) -> tuple[Compiled, ...]:
        """HTML, plain text and subject, each with the place of its file."""
        return self._html, self._text, self._subject

    def _inlined(self, html: str, unused: float) -> str:
        """Inline the styles of a customer's mail that took all but `unused` seconds of those it has for rendering."""
        seconds = min(compile_process.SECONDS, INLINE_SECONDS + max(0.0, unused))
        try:
            return str(compile_process.run("inline", html, self.name, seconds=seconds))
        except (compile_process.Overrun, compile_process.Failed) as error:
            what = "takes too long" if isinstance(error, compile_process.Overrun) else f"fails: {error}"
            place = Place(f"{self.name}/body.html", 0, 0)
            raise RenderError(f"Inlining the styles of this customer's mail {what}.", place) from error


_cache: dict[tuple[object, ...], MailTemplate | errors.InvalidInput] = {}
_lock = threading.Lock()


def compile_mail(
    source: TemplateSource, vocabulary: Vocabulary, *, allowed_hosts: Collection[str] = (), rehearsed: bool = True
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
    source: TemplateSource, words: object, hosts: frozenset[str], rehearsed: bool
) -> MailTemplate | errors.InvalidInput:
    """Have a source compiled, and tried, where it can do no harm. One that took too long is not tried again."""
    try:
        with compile_process.same_process():
            mail: MailTemplate = compile_process.run("compile", source.name, dict(source.files), words, hosts)
            findings = _rehearse(mail) if rehearsed else ()
        return replace(mail, findings=(*findings, *mail.findings)) if findings else mail
    except compile_process.Overrun:
        message, remedy = _OVERRUN, _SMALLER
    except compile_process.Failed as error:
        log.error("the template %s cannot be compiled: %s", source.name, error)
        message, remedy = "This template cannot be compiled.", _REPORT
    return errors.InvalidInput([errors.Problem(problems.shown(source.file("body.html")), 0, 0, message, remedy=remedy)])


def _rehearse(mail: MailTemplate) -> tuple[Finding, ...]:
    """Have the mail that was just compiled tried with made-up customers. A large one may be sound and take too long."""
    place = Place(mail.parts[0].places[0].file, 0, 0)
    try:
        return tuple(compile_process.run("rehearse", seconds=REHEARSAL_SECONDS))
    except compile_process.OutOfTime:
        return (Finding("warning", _UNTRIED, place),)
    except compile_process.Overrun:
        message = (
            f"This costs more than {compile_process.MEGABYTES} MB of memory, at least for some customers. {_SMALLER}"
        )
        return (Finding("error", message, place, costly=True),)
    except (compile_process.Failed, errors.Unavailable) as error:
        log.error("the template %s cannot be tried: %s", mail.name, error)
        return (Finding("warning", _UNTRIED, place),)


_UNTRIED = "This mail could not be tried with made-up customers in full, so what costs too much for some may show late."
_LIMITS = f"{compile_process.SECONDS:g} seconds of computing or {compile_process.MEGABYTES} MB of memory"
_OVERRUN = f"To prepare this mail takes more than {_LIMITS}."
_REPORT = "This is a bug in Mailshot; please report it with the template."
_SMALLER = "Use fewer tags, elements and style rules, and fewer of them inside one another."


def _pixel(tracking: Tracking | None) -> Markup:
    if tracking is None:
        return Markup("")
    style = "display:block;width:1px;height:1px;border:0"
    return Markup('<img src="{}" width="1" height="1" alt="" style="{}">').format(escape(tracking.pixel), style)
