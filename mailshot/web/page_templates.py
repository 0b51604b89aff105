"""Owns the templates of our own pages, always escaped; refuses to know what any page is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(name: str, **words: Any) -> str:
    """Return the template `name` filled with `words`, everything in them escaped."""
    return PAGES.get_template(name).render(words)
