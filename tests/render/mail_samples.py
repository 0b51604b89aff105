"""The sample mails of tests/render/mails: each as plain Jinja renders it, and as Mailshot delivers it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jinja2

from mailshot.render import filters, sandbox, source, template
from mailshot.render.budget import BUDGET
from tests.render.material import SHOP, TRACKING, VOCABULARY, values

FOLDER = Path(__file__).parent / "mails"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.html")))
_ID_SELECTOR = re.compile(r"\{#(?=[\w-]+\{)")


def authored(name: str) -> str:
    """Render a mail with plain Jinja: what its author wrote, with a customer's values in it."""
    return render_plainly({file: _for_jinja(text) for file, text in _files(name).items()}, "m/body.html")


def _for_jinja(text: str) -> str:
    """Write `{#id{` of minified style sheets so that Jinja does not read it as a comment."""
    return _ID_SELECTOR.sub("{{ '{' }}#", text)


def delivered(name: str, tracked: bool) -> str:
    """Return the HTML that Mailshot delivers."""
    return compiled(name).render(values(), TRACKING if tracked else None).html


def has_statements(name: str) -> bool:
    """Return whether a mail has Jinja statements."""
    return "{%" in _files(name)["m/body.html"]


@cache
def compiled(name: str) -> template.MailTemplate:
    """Compile a sample mail, without the trial render."""
    mail = source.TemplateSource("m", _files(name))
    return template.compile_mail(mail, VOCABULARY, allowed_hosts=[SHOP], with_trial=False)


def render_plainly(files: dict[str, str], name: str) -> str:
    """Render with Jinja itself, without anything of Mailshot but its filters."""
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.DictLoader(files),
        undefined=jinja2.StrictUndefined,
        finalize=sandbox.finalize,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters.OWN)
    BUDGET.reset()
    return environment.get_template(name).render(values())


def _files(name: str) -> dict[str, str]:
    shared = {f"_base/{path.name}": path.read_text() for path in (FOLDER / "_base").glob("*.html")}
    return {"m/subject.txt": "Hello", "m/body.html": (FOLDER / f"{name}.html").read_text(), **shared}
