"""Splits a style sheet into rules that can be inlined and rules that must stay in <style>."""

from __future__ import annotations

import re

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_STAYS = re.compile(r"::?(?!first-child|last-child|nth-child)[a-zA-Z-]+|\*|\[data-|\[class")
"""Selectors that speak of a state, or of what only the reader's own style adds."""


def split(sheet: str) -> tuple[str, str]:
    """Part a sheet into plain rules and the rest (`@media`, `@font-face`, `:hover`), each in its own order."""
    inlined: list[str] = []
    kept: list[str] = []
    for rule in rules(_COMMENT.sub("", sheet)):
        selectors, brace, declarations = rule.partition("{")
        if rule.startswith("@") or not brace:
            kept.append(rule)
            continue
        kept_selectors = [one.strip() for one in selectors.split(",") if _STAYS.search(one)]
        inlined_selectors = [one.strip() for one in selectors.split(",") if not _STAYS.search(one)]
        if kept_selectors:
            kept.append(f"{', '.join(kept_selectors)} {{{declarations}")
        if inlined_selectors:
            inlined.append(f"{', '.join(inlined_selectors)} {{{declarations}")
    return "\n".join(inlined), "\n".join(kept)


def rules(sheet: str) -> list[str]:
    """Cut a sheet without comments at the end of each outermost rule."""
    rule_texts: list[str] = []
    depth, start = 0, 0
    for match in re.finditer(r"[{};]|\"[^\"]*\"|'[^']*'", sheet):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth <= 0 and match[0] in "};":
            rule_texts.append(sheet[start : match.end()].strip())
            depth, start = 0, match.end()
    rest = sheet[start:].strip()
    return [rule for rule in [*rule_texts, rest] if rule]
