"""Owns writing a macro's body out where it is called; refuses calls that are part of a larger expression.

Written out, the body stands where its HTML belongs, so style rules reach it and nothing recurs at send time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailshot import errors
from mailshot.render.pieces import Segment, Token, statement, tokens_of
from mailshot.render.report import TemplateProblems
from mailshot.render.tree import Macro

Arguments = list[tuple[str, list[Token]]]


def imported(piece: Segment, theirs: Sequence[Macro], report: TemplateProblems) -> dict[str, Macro]:
    """Read `import 'f' as x` or `from 'f' import a, b as c` into the names its file may call."""
    by_name = {macro.name: macro for macro in theirs}
    words = piece.tokens[2:]
    if piece.word == "import":
        alias = words[1].text if len(words) > 1 and words[0].text == "as" else ""
        return {f"{alias}.{name}": macro for name, macro in by_name.items()}
    found: dict[str, Macro] = {}
    for part in _split([token for token in words[1:] if token.text not in ("with", "without", "context")]):
        if part and part[0].text in by_name:
            found[part[-1].text] = by_name[part[0].text]
        elif part:
            remedy = errors.nearest(part[0].text, by_name)
            report.add(part[0].place, f"There is no macro '{part[0].text}' in that file.", remedy)
    return found


def inline_call(
    piece: Segment, known: Mapping[str, Macro], report: TemplateProblems
) -> tuple[Macro, list[Segment], list[Segment]] | None:
    """Read a tag that calls a macro: the macro and the tags that go before and after its body; None for any other tag.

    A call anywhere but alone in `{{ }}` is reported.
    """
    name, start = _called(piece.tokens, 0, known)
    if piece.kind == "expression" and name and _closes_last(piece.tokens, start):
        bound = _bind(known[name], piece, piece.tokens[start + 1 : -1], report)
        if not bound:
            return known[name], [], []
        opening = tokens_of("with", piece.place)
        for parameter, value in bound:
            comma = [Token(",", piece.place)] if len(opening) > 1 else []
            opening += [*comma, *tokens_of(f"{parameter} = (", piece.place), *value, Token(")", piece.place)]
        return (
            known[name],
            [statement(opening, piece.place)],
            [statement(tokens_of("endwith", piece.place), piece.place)],
        )
    for at, token in enumerate(piece.tokens):
        name, _ = _called(piece.tokens, at, known)
        if name:
            report.add(token.place, f"The macro '{name}' can only stand alone: {{{{ {name}(…) }}}}.")
    return None


def _called(tokens: Sequence[Token], at: int, known: Mapping[str, Macro]) -> tuple[str, int]:
    """Name the macro called at a position and where its bracket opens."""
    words = [token.text for token in tokens[at : at + 4]]
    if at and tokens[at - 1].text == ".":
        return "", 0
    for length, name in ((1, words[0] if words else ""), (3, "".join(words[:3]))):
        if name in known and words[length : length + 1] == ["("]:
            return name, at + length
    return "", 0


def _closes_last(tokens: Sequence[Token], start: int) -> bool:
    depth = 0
    for at in range(start, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[at].text, 0)
        if depth == 0:
            return at == len(tokens) - 1
    return False


def _split(tokens: Sequence[Token]) -> list[list[Token]]:
    """Split at the commas that stand in no bracket."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += 1 if token.text in ("(", "[", "{") else -1 if token.text in (")", "]", "}") else 0
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _named(part: list[Token]) -> tuple[str, list[Token]]:
    return (part[0].text, part[2:]) if len(part) > 2 and part[1].text == "=" else ("", part)


def _bind(macro: Macro, piece: Segment, tokens: Sequence[Token], report: TemplateProblems) -> Arguments:
    """Pair parameters with the values given or their defaults; what does not fit goes to the report."""
    parameters = [
        (part[0].text, _named(part)[1] if len(part) > 2 else []) for part in _split(macro.opening.tokens[3:-1])
    ]
    names = [name for name, _ in parameters]
    given: dict[str, list[Token]] = {}
    for position, part in enumerate(_split(tokens)):
        name, value = _named(part)
        name = name or (names[position] if position < len(names) else "")
        if name not in names:
            report.add(part[0].place, f"The macro '{macro.name}' takes no such argument.", errors.nearest(name, names))
        given[name] = value
    bound: Arguments = []
    for name, default in parameters:
        if name not in given and not default:
            report.add(piece.place, f"The macro '{macro.name}' needs '{name}'.")
        bound.append((name, given.get(name) or default or tokens_of("none", piece.place)))
    return bound
