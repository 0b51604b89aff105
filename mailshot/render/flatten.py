"""Expands `extends`, `include`, `import` and macro calls into one text.

A macro body is written where it is called, so style rules apply to it and nothing recurs at send time. A call inside
a larger expression is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import jinja2

from mailshot import errors
from mailshot.render.lexer import (
    Block,
    Macro,
    Node,
    Segment,
    Token,
    blocks,
    nested,
    parse,
    statement,
    tokenize,
    tokens_of,
    walk,
)
from mailshot.render.problems import TemplateProblems

Arguments = list[tuple[str, list[Token]]]
DEEPEST = 20
LARGEST = 1024 * 1024
"""Characters of the flattened text; an include that doubles itself stops here."""
MAX_STEPS = 50_000
"""Tags and pieces of text of the flattened text, with those that macros, blocks and includes begin again."""
_OUTSIDE = ("set", "import", "from")


def imported_macros(piece: Segment, theirs: Sequence[Macro], report: TemplateProblems) -> dict[str, Macro]:
    """Read `import 'f' as x` or `from 'f' import a, b as c` into the names its file may call."""
    by_name = {macro.name: macro for macro in theirs}
    words = piece.tokens[2:]
    if piece.word == "import":
        alias = words[1].text if len(words) > 1 and words[0].text == "as" else ""
        return {f"{alias}.{name}": macro for name, macro in by_name.items()}
    macros: dict[str, Macro] = {}
    for part in _split([token for token in words[1:] if token.text not in ("with", "without", "context")]):
        if part and part[0].text in by_name:
            macros[part[-1].text] = by_name[part[0].text]
        elif part:
            remedy = errors.nearest(part[0].text, by_name)
            report.add(part[0].place, f"There is no macro '{part[0].text}' in that file.", remedy)
    return macros


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
    """Split at commas outside brackets."""
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
    arguments: dict[str, list[Token]] = {}
    for position, part in enumerate(_split(tokens)):
        name, value = _named(part)
        name = name or (names[position] if position < len(names) else "")
        if name not in names:
            report.add(part[0].place, f"The macro '{macro.name}' takes no such argument.", errors.nearest(name, names))
        arguments[name] = value
    bound: Arguments = []
    for name, default in parameters:
        if name not in arguments and not default:
            report.add(piece.place, f"The macro '{macro.name}' needs '{name}'.")
        bound.append((name, arguments.get(name) or default or tokens_of("none", piece.place)))
    return bound


class _TooLarge(Exception):
    """The flattened text is too large; the problem is in the report."""


class Flattener:
    """Follow extends, block, super, include, import and macro through the files of one source."""

    def __init__(self, files: Mapping[str, str], environment: jinja2.Environment, report: TemplateProblems) -> None:
        self._files, self._environment, self._report = files, environment, report
        self._trees: dict[str, tuple[Node, ...]] = {}
        self._blocks: dict[str, list[Block]] = {}
        self._callable: dict[str, dict[str, Macro]] = {}
        self._size = self._steps = 0

    @property
    def files(self) -> frozenset[str]:
        """Return the files that were followed so far."""
        return frozenset(self._trees)

    def flatten(self, entry: str) -> list[Segment]:
        """Give the pieces of the whole text of `entry`, in order; what cannot be followed goes to the report."""
        chain = self._chain(entry)
        self._blocks = {}
        for tree in chain:
            for block in blocks(tree):
                self._blocks.setdefault(block.name, []).append(block)
        self._refuse_strays(chain)
        pieces: list[Segment] = []
        for tree in chain[:-1]:
            pieces += [node for node in tree if isinstance(node, Segment) and node.word == "set"]
        try:
            pieces += self._emit(chain[-1], (), 0)
        except _TooLarge:
            return []
        return pieces

    def _chain(self, entry: str) -> list[tuple[Node, ...]]:
        names, chain = [entry], [self._tree(entry)]
        while parent := next((n for n in chain[-1] if isinstance(n, Segment) and n.word == "extends"), None):
            name = self._named(parent, 2)
            if name is None or name in names:
                if name is not None:
                    self._report.add(parent.place, f"'{name}' extends itself, by way of {' and '.join(names)}.")
                break
            names.append(name)
            chain.append(self._tree(name))
        return chain

    def _refuse_strays(self, chain: Sequence[tuple[Node, ...]]) -> None:
        """Refuse what a child writes where it can never be shown."""
        parents: set[str] = set()
        for tree in reversed(chain):
            own = list(blocks(tree))
            if tree is not chain[-1]:
                for block in (node for node in tree if isinstance(node, Block) and node.name not in parents):
                    message = f"The layout has no block '{block.name}', so this would never be shown."
                    self._report.add(block.place, message, errors.nearest(block.name, parents))
                for node in tree:
                    if isinstance(node, Segment) and node.word not in ("extends", *_OUTSIDE) and node.text.strip():
                        self._report.add(node.place, "This stands outside every block, so it would never be shown.")
            parents |= {block.name for block in own}

    def _emit(self, tree: Sequence[Node], inside: tuple[Block, ...], depth: int) -> Iterator[Segment]:
        for node in tree:
            self._count(node)
            if isinstance(node, Macro):
                continue
            if isinstance(node, Block):
                yield from self._emit_block(self._blocks.get(node.name, [node])[0], inside, depth)
            elif node.word in ("extends", "import", "from") and node.kind == "statement":
                continue
            elif node.word == "include" and node.kind == "statement":
                yield from self._emit_include(node, inside, depth)
            elif node.spells("super", "(", ")"):
                yield from self._emit_super(node, inside, depth)
            else:
                yield from self._emit_piece(node, inside, depth)

    def _count(self, node: Node) -> None:
        """Count one step, also one that adds no text: a macro that calls ten others ten deep may be empty."""
        piece = node.opening if isinstance(node, Macro) else node
        self._steps += 1
        if self._steps > MAX_STEPS:
            message = f"The mail with all it includes and calls has over {MAX_STEPS} parts."
            self._report.add(piece.place, message, "Call macros and include files fewer times inside one another.")
            raise _TooLarge

    def _emit_piece(self, piece: Segment, inside: tuple[Block, ...], depth: int) -> Iterator[Segment]:
        known = self._macros(piece.place.file) if piece.tokens else {}
        call = inline_call(piece, known, self._report) if known else None
        if call is None:
            self._grow(piece, len(piece.text))
            yield piece
        elif not self._too_deep(piece, depth):
            macro, opening, closing = call
            self._grow(piece, sum(len(tag.text) for tag in opening))
            yield from opening
            yield from self._emit(macro.body, inside, depth + 1)
            yield from closing

    def _grow(self, piece: Segment, characters: int) -> None:
        self._size += characters
        if self._size > LARGEST:
            self._report.add(piece.place, f"The mail with all it includes is over {LARGEST} characters.")
            raise _TooLarge

    def _emit_block(self, block: Block, inside: tuple[Block, ...], depth: int) -> Iterator[Segment]:
        if depth <= DEEPEST:
            yield from self._emit(block.body, (*inside, block), depth + 1)

    def _emit_super(self, piece: Segment, inside: tuple[Block, ...], depth: int) -> Iterator[Segment]:
        versions = self._blocks.get(inside[-1].name, []) if inside else []
        above = next((i for i, block in enumerate(versions) if block is inside[-1]), -1) + 1
        if not 0 < above < len(versions):
            self._report.add(piece.place, "super() has nothing above it here.")
        elif not self._too_deep(piece, depth):
            yield from self._emit_block(versions[above], inside[:-1], depth + 1)

    def _emit_include(self, piece: Segment, inside: tuple[Block, ...], depth: int) -> Iterator[Segment]:
        name = self._named(piece, 2)
        if name is not None and not self._too_deep(piece, depth):
            yield from self._emit(self._tree(name), inside, depth + 1)

    def _too_deep(self, piece: Segment, depth: int) -> bool:
        if depth > DEEPEST:
            self._report.add(piece.place, f"Includes and macros nest more than {DEEPEST} deep here.")
        return depth > DEEPEST

    def _named(self, piece: Segment, length: int | None = None) -> str | None:
        """Read the plain file name after extends, include, import or from."""
        words = [token.text for token in piece.tokens]
        if len(words) < 2 or words[1][0] not in "'\"" or (length and len(words) != length):
            self._report.add(piece.place, f"{piece.word} needs one plain file name in quotes, known before sending.")
            return None
        name = words[1][1:-1]
        if name not in self._files:
            known = [file for file in self._files if file.endswith((".html", ".txt"))]
            self._report.add(piece.tokens[1].place, f"There is no file '{name}'.", errors.nearest(name, known))
            return None
        return name

    def _macros(self, file: str) -> dict[str, Macro]:
        """List what a file can call: its own macros and those it imports, by the name it calls them."""
        if file in self._callable:
            return self._callable[file]
        nodes = list(walk(self._tree(file)))
        blocks = {node.name: node for node in nodes if isinstance(node, Macro)}
        for node in nodes:
            if isinstance(node, Segment) and node.kind == "statement" and node.word in ("import", "from"):
                name = self._named(node)
                theirs = [n for n in self._tree(name) if isinstance(n, Macro)] if name else []
                blocks |= imported_macros(node, theirs, self._report)
        self._callable[file] = blocks
        return blocks

    def _tree(self, name: str) -> tuple[Node, ...]:
        if name not in self._trees:
            pieces = tokenize(self._files[name], name, self._environment, self._report)
            parse(pieces, name, self._environment, self._report)
            self._trees[name] = tuple(nested(iter(pieces)))
        return self._trees[name]
