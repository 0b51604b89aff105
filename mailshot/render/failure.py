"""Owns the refusal to render one mail for one customer; refuses to stand for faults of the template as a whole."""

from __future__ import annotations

from mailshot import errors
from mailshot.render.report import Place


class RenderError(errors.MailshotError):
    """One customer's mail cannot be made; the others can. `place` names the template's file, line and column."""

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.reason = message
