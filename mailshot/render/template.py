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
from markupsafe import Markup

from mailshot import errors
from mailshot.render import compile_process, instrument, plain_text, problems, sandbox
from mailshot.render.budget import BUDGET, TooMuchWork
from mailshot.render.lexer import Segment
from mailshot.render.links import LinkRewriter, LinkTarget, Tracking
from mailshot.render.lint import Finding
from mailshot.render.problems import Place, RenderError, SourceLines, TemplateProblems
from mailshot.render.source import TemplateSource
from mailshot.render.vocabulary import ListType

_OPENING = re.compile(r"\{[{%][-+]?")
_ALONE = re.compile(r"^[ \t]*(\x01(?:[ \t]*\x01)*)[ \t]*(?:\n|\Z)", re.MULTILINE)
_MARKS = re.compile(r"[\x01\x02]")
_BRACE = re.compile(r"\{(?=[{%#])")
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
_NONE: Mapping[str, Any] = {}
MAX_CACHED_TEMPLATES = 256
"""Compiled templates cached in this process."""
INLINE_SECONDS = 0.8
"""CPU seconds for inlining one customer's mail."""
TRIAL_SECONDS = 0.5
"""CPU seconds of the trial render with made-up customers."""
LOOKS_SECONDS = 0.5
"""CPU seconds for inlining the mails of the made-up customers."""
MAX_SUBJECT_CHARACTERS = 2_000
"""Mail clients show fewer than 100."""
_lock = threading.Lock()
_UNTRIED = (
    "The trial render with made-up customers did not finish. Too costly cases may show only when mails are rendered."
)
_UNSEEN = (
    "Contrast and hidden links were not checked, because inlining the styles of made-up customers did not finish. "
    "Use fewer elements and style rules, or remove `inline: each`."
)
_LIMITS = f"{compile_process.MAX_SECONDS:g} seconds of CPU time or {compile_process.MAX_MEGABYTES} MB of memory"
_OVERRUN = f"Preparing this mail takes more than {_LIMITS}."
_REPORT = "This is a bug in Mailshot; please report it with the template."
_SMALLER = "Use fewer tags, elements and style rules, and fewer of them inside one another."


@dataclass(frozen=True, slots=True)
class CompiledPart:
    """A text ready to render. `places` maps each of its lines to the place of the tag in the author's file."""

    template: jinja2.Template
    places: Sequence[Place]
    size: int
    code: CodeType
    source: str = ""
    """The source text; empty after pickling."""

    def __reduce__(self) -> tuple[Callable[..., CompiledPart], tuple[Any, ...]]:
        """Pickle the compiled code, so that the other process need not compile it again."""
        return _unpickle, (marshal.dumps(self.code), list(self.places), self.size, self.template.environment.autoescape)

    def every_branch(self) -> CompiledPart:
        """Return a version in which each `if` renders all its branches, whatever its condition."""
        environment = self.template.environment
        assert isinstance(environment, sandbox.MailEnvironment)
        branches = instrument.EveryBranch()
        tree = branches.visit(environment.parse(self.source))
        if not branches.changed:
            return self
        return _compiled_part(environment, environment.compile(environment.instrumented(tree)), self.places, self.size)

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
) -> CompiledPart | None:
    """Compile text and tags into one template, None after a problem was reported.

    A line that contains only statements is removed, with its line end.
    """
    pieces = iter([part for part in parts if isinstance(part, Segment)])
    source: list[str] = []
    places = [Place(file, 1, 1)] * 2
    for text in re.split(r"([\x01\x02])", _with_marks(parts)):
        if _MARKS.fullmatch(text):
            piece = next(pieces)
            text = _with_line_break(piece)
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
    return _compiled_part(environment, code, places, size, "".join(source))


def _compiled_part(
    environment: sandbox.MailEnvironment, code: CodeType, places: Sequence[Place], size: int, source: str = ""
) -> CompiledPart:
    # A plain dict: each render copies it, and Jinja's own ChainMap takes as long to copy as ten tags to render.
    template = jinja2.Template.from_code(environment, code, dict(environment.globals))
    return CompiledPart(template, places, size, code, source)


def _unpickle(code: bytes, places: Sequence[Place], size: int, autoescape: bool) -> CompiledPart:
    # The code comes from our own compile process and a checked template.
    return _compiled_part(sandbox.HTML if autoescape else sandbox.TEXT, marshal.loads(code), places, size)  # nosec B302


def _with_marks(parts: Sequence[str | Segment]) -> str:
    """Join the parts with a mark for each tag, and drop lines that contain only statements."""
    marked = [
        _MARKS.sub(" ", part) if isinstance(part, str) else "\x01" if part.kind == "statement" else "\x02"
        for part in parts
    ]
    return _ALONE.sub(lambda match: re.sub(r"[ \t]", "", match[1]), "".join(marked))


def _with_line_break(piece: Segment) -> str:
    """Start a new line inside a tag, so that each tag has its own line number."""
    if piece.kind == "raw":
        return piece.text
    opening = _OPENING.match(piece.text)
    return piece.text if opening is None else opening[0] + "\n" + piece.text[opening.end() :]


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """One customer's mail. `links` are the links that were replaced by click links; empty without tracking."""

    subject: str
    html: str
    text: str
    links: tuple[LinkTarget, ...] = ()


@dataclass(frozen=True)
class MailTemplate:
    """A compiled template. `facts` are the dotted names it uses, `findings` the remarks of lint.

    `files` are the files it consists of: of the shared ones only those it extends, includes or imports.
    """

    name: str
    facts: frozenset[str]
    files: frozenset[str]
    findings: tuple[Finding, ...]
    per_mail_inlining: bool
    pictures: Mapping[str, str]
    """Content-IDs by path of the pictures that the HTML may show."""
    attachments: tuple[str, ...]
    """Paths of the attachments."""
    _subject: CompiledPart
    _html: CompiledPart
    _text: CompiledPart
    _text_is_derived: bool
    _link_places: tuple[Place, ...]
    _allowed_hosts: frozenset[str]

    def render(
        self,
        values: Mapping[str, object],
        tracking: Tracking | None,
        others: Mapping[str, Mapping[str, object]] = _NONE,
    ) -> RenderedMail:
        """Render for one customer. `tracking` None: no pixel, and no link is replaced.

        `others` are the values that differ in the parts "subject" and "text", as far as their language does.
        Raises RenderError for what fails for this customer only: a missing value, a link to a host that is not allowed.
        """
        BUDGET.start_clock()
        linker = LinkRewriter(self._link_places, self._allowed_hosts, tracking)
        html = self._html.render({**values, "_link": linker, "_pixel": _pixel(tracking)})
        subject = " ".join(self._subject.render({**values, **others.get("subject", _NONE)}).split())
        if len(subject) > MAX_SUBJECT_CHARACTERS:
            place = Place(self._subject.places[0].file, 0, 0)
            raise RenderError(f"The subject is longer than {MAX_SUBJECT_CHARACTERS} characters.", place)
        text = self._text.render({**values, **others.get("text", _NONE)})
        text = plain_text.tidy(text, self._text_is_derived)
        if self.per_mail_inlining:
            html = self._inlined(html)
        return RenderedMail(subject, html, text, tuple(linker.links.values()))

    @property
    def parts(self) -> tuple[CompiledPart, ...]:
        """HTML, plain text and subject, each with the place of its file."""
        return self._html, self._text, self._subject

    def _inlined(self, html: str) -> str:
        """Inline the styles of a rendered mail."""
        file = self._html.places[0].file
        try:
            return str(compile_process.run_job("inline", html, file, seconds=INLINE_SECONDS))
        except (compile_process.LimitExceeded, compile_process.JobFailed) as error:
            what = "takes too long" if isinstance(error, compile_process.LimitExceeded) else f"fails: {error}"
            place = Place(file, 0, 0)
            raise RenderError(f"Inlining the styles of this customer's mail {what}.", place) from error


_cache: dict[tuple[object, ...], MailTemplate | errors.InvalidInput] = {}


def compile_mail(
    source: TemplateSource, vocabulary: Vocabulary, *, allowed_hosts: Collection[str] = (), with_trial: bool = True
) -> MailTemplate:
    """Compile a source, once per content in this process.

    `vocabulary` maps each name that a template may use to its fields. `allowed_hosts` are the lower-case hosts to
    which a link that is one whole `{{ … }}` may lead. `with_trial` false: the mail is not rendered for made-up
    customers, and has no findings about its cost. Raises InvalidInput with every problem of the template.
    """
    words = tuple(sorted((name, type(fields).__name__, tuple(sorted(fields))) for name, fields in vocabulary.items()))
    hosts = frozenset(host.lower() for host in allowed_hosts)
    key = (source.digest, words, hosts, with_trial)
    with _lock:
        known = _cache.pop(key, None)
    mail = known or _compile(source, words, hosts, with_trial)
    with _lock:
        _cache[key] = mail
        while len(_cache) > MAX_CACHED_TEMPLATES:
            del _cache[next(iter(_cache))]
    if isinstance(mail, errors.InvalidInput):
        raise errors.InvalidInput(mail.problems)
    return mail


def _compile(
    source: TemplateSource, words: object, hosts: frozenset[str], with_trial: bool
) -> MailTemplate | errors.InvalidInput:
    """Compile a source, and render it on trial, in the compile process. Exceeding its limits is cached as a problem."""
    try:
        with compile_process.same_process():
            files, enclosed = dict(source.files), dict(source.enclosed)
            mail: MailTemplate = compile_process.run_job(
                "compile", source.name, files, enclosed, words, hosts, source.language, source.enclosable, source.logo
            )
            findings = _trial_render(mail) if with_trial else ()
            if mail.per_mail_inlining and with_trial:
                findings += _look_findings(mail)
        lines = SourceLines(source.files)
        return replace(mail, findings=tuple(replace(f, excerpt=lines.at(f.place)) for f in (*findings, *mail.findings)))
    except compile_process.LimitExceeded:
        message, remedy = _OVERRUN, _SMALLER
    except compile_process.JobFailed as error:
        log.error("the template %s cannot be compiled: %s", source.name, error)
        message, remedy = "This template cannot be compiled.", _REPORT
    return errors.InvalidInput(
        [errors.Problem(problems.project_path(source.file("body.html")), 0, 0, message, remedy=remedy)]
    )


def _trial_render(mail: MailTemplate) -> tuple[Finding, ...]:
    """Render the mail compiled last for made-up customers. Running out of time is only a warning."""
    place = Place(mail.parts[0].places[0].file, 0, 0)
    try:
        return tuple(compile_process.run_job("trial", seconds=TRIAL_SECONDS))
    except compile_process.OutOfTime:
        return (Finding("warning", _UNTRIED, place),)
    except compile_process.LimitExceeded:
        limit = f"{compile_process.MAX_MEGABYTES} MB of memory"
        message = f"This costs more than {limit}, at least for some customers. {_SMALLER}"
        return (Finding("error", message, place, costly=True),)
    except (compile_process.JobFailed, errors.Unavailable) as error:
        log.error("the trial render of template %s failed: %s", mail.name, error)
        return (Finding("warning", _UNTRIED, place),)


def _look_findings(mail: MailTemplate) -> tuple[Finding, ...]:
    """Examine the looks of the mail compiled last. That it does not finish is only a warning."""
    try:
        return tuple(compile_process.run_job("looks", seconds=LOOKS_SECONDS))
    except (compile_process.LimitExceeded, compile_process.JobFailed, errors.Unavailable) as error:
        log.info("the looks of template %s cannot be examined: %s", mail.name, error)
        return (Finding("warning", _UNSEEN, Place(mail.parts[0].places[0].file, 0, 0)),)


# Before and after the URL.
_PIXEL = (
    Markup('<img src="'),
    Markup('" width="1" height="1" alt="" style="display:block;width:1px;height:1px;border:0">'),
)
_HIDDEN = Markup('<a href="'), Markup('" style="display:none" aria-hidden="true" tabindex="-1"></a>')


def _pixel(tracking: Tracking | None) -> Markup:
    if tracking is None:
        return Markup("")
    # What is added to Markup is escaped.
    return _hidden_link(tracking.hidden) + _PIXEL[0] + tracking.pixel + _PIXEL[1]


def _hidden_link(url: str) -> Markup:
    """Return a link without content that neither mail programs show nor screen readers read; nothing without a URL."""
    return _HIDDEN[0] + url + _HIDDEN[1] if url else Markup("")
