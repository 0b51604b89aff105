"""Renders HTML pages from a folder of templates; every value is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from gettext import NullTranslations
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

#: How many pieces of a template make one part of a stream.
STREAMED_PARTS = 200


class PageTemplates:
    """The templates of one folder in one language: English, unless there are translations of it.

    Each language needs an environment of its own, because Jinja keeps the translations there.
    """

    def __init__(self, folder: Path, translations: NullTranslations | None = None) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        self._environment.policies["ext.i18n.trimmed"] = True
        install = self._environment.install_gettext_translations  # type: ignore[attr-defined]
        install(translations or NullTranslations(), newstyle=True)

    def stream(self, name: str, **values: Any) -> Iterator[str]:
        """Give a page in parts of some lines, so that a long one need not fit into memory."""
        parts = self._environment.get_template(name).stream(values)
        parts.enable_buffering(STREAMED_PARTS)
        return parts

    def render(self, name: str, **values: Any) -> str:
        """Return a page. A value that the template uses and that is missing raises an error."""
        return self._environment.get_template(name).render(values)
