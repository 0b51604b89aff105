"""Owns one text of a mail as a compiled template; refuses to render more than a mail may hold."""

from __future__ import annotations

import marshal
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any

import jinja2

from mailshot.render import instrument, sandbox
from mailshot.render.failure import RenderError
from mailshot.render.meter import BUDGET, TooMuchWork
from mailshot.render.pieces import Segment
from mailshot.render.report import Place, TemplateProblems

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
