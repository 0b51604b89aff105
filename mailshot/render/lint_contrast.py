"""Warns of text that hardly stands out from what is behind it: the contrast of WCAG 2, where both colours are certain.

https://www.w3.org/TR/WCAG22/#contrast-minimum asks for 4.5, and for 3 where the text is large: 24 pixels, or 18.66
pixels in bold. Decoration, hidden text and signs without letters or digits are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from mailshot.render.computed_styles import Color, ComputedStyles, Look, TextRun
from mailshot.render.document import MailDocument
from mailshot.render.lint import Finding

MIN_CONTRAST, MIN_LARGE_CONTRAST = 4.5, 3.0
LARGE_PIXELS, LARGE_BOLD_PIXELS = 24, 18.66
_EXCERPT = 40
_MAX_WARNINGS = 5


def examine(document: MailDocument, styles: ComputedStyles) -> Iterator[Finding]:
    """Yield a warning for each pair of colours with too little contrast, at the first text that has it."""
    runs: dict[tuple[Color, Color], list[TextRun]] = {}
    for run in styles.texts:
        pair = _low_contrast(run.look)
        if pair and any(letter.isalnum() for letter in run.text):
            runs.setdefault(pair, []).append(run)
    for (color, background), places in list(runs.items())[:_MAX_WARNINGS]:
        ratio = int(contrast(color, background) * 10) / 10
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        message = (
            f"The text '{_excerpt(document, places[0].text)}'{more} is hard to read: {_hex(color)} on "
            f"{_hex(background)} has a contrast of {ratio}, and {_needed(places[0].look):g} is needed. "
            "Choose a darker or lighter colour."
        )
        yield Finding("warning", message, document.place(places[0].tag.start))


def _low_contrast(look: Look) -> tuple[Color, Color] | None:
    if look.color is None or look.background is None or look.is_hidden or look.is_blended or look.is_decoration:
        return None
    pair = look.color, look.background
    return pair if contrast(*pair) < _needed(look) else None


def _needed(look: Look) -> float:
    """Return the contrast that a text needs; one of unknown size may be large."""
    large = LARGE_BOLD_PIXELS if look.is_bold else LARGE_PIXELS
    return MIN_LARGE_CONTRAST if look.pixels is None or look.pixels >= large else MIN_CONTRAST


@lru_cache(maxsize=1024)
def contrast(color: Color, other: Color) -> float:
    """Return the contrast ratio of two colours, from 1 to 21 (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""
    darker, lighter = sorted((_luminance(color), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    red, green, blue = (_linear(channel / 255) for channel in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _hex(color: Color) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in color)


def _excerpt(document: MailDocument, text: str) -> str:
    words = " ".join(document.words.sub("…", text).split())
    return words if len(words) <= _EXCERPT else words[:_EXCERPT].rstrip() + "…"
