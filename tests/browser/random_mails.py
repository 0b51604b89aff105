"""Makes up mails for the comparison of styles: small bodies, and dense style sheets about the same few names.

The same seed makes the same mail.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

CLASSES, IDS = ("a", "b", "c"), ("x", "y")
BLOCKS, INLINES = ("div", "p", "td", "h1", "ul"), ("a", "b", "span", "i")
STATES = (":hover", ":first-child", ":last-child", ":nth-child(2)", ":nth-child(odd)", ":empty", ":only-child",
          ":checked", ":link", "::before", "::after", ":first-of-type")  # fmt: skip
MEDIA = ("(max-width:480px)", "(min-width:600px)", "(prefers-color-scheme:dark)", "screen", "print", "all",
         "not all and (max-width:480px)", "only screen and (max-width:600px)")  # fmt: skip
LENGTHS = (
    "0",
    "1px",
    "4px",
    "1em",
    "10%",
    "auto",
    "inherit",
    "initial",
    "unset",
    "-2px",
    "calc(1px + 1em)",
    "var(--v)",
    "3zz",
)
COLOURS = (
    "red",
    "#00f",
    "#00ff0080",
    "transparent",
    "currentColor",
    "inherit",
    "rgb(1 2 3 / 50%)",
    "var(--c)",
    "hsl(120 50% 50%)",
    "nocolour",
)
PROPERTIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("color", COLOURS), ("background-color", COLOURS), ("background", (*COLOURS, "none", "red url(a.png) no-repeat")),
    ("margin", (*LENGTHS, "1px 2px", "0 auto")), ("margin-left", LENGTHS), ("padding", (*LENGTHS, "1px 2px 3px")),
    ("padding-top", LENGTHS), ("padding-inline-start", LENGTHS), ("margin-block", LENGTHS),
    ("border", ("1px solid red", "none", "2px dashed", "inherit")), ("border-left", ("3px solid blue", "0")),
    ("border-color", COLOURS), ("border-width", LENGTHS), ("border-radius", (*LENGTHS, "4px / 8px")),
    ("font", ("12px serif", "bold 2em/1.5 sans-serif", "inherit", "caption")), ("font-size", (*LENGTHS, "larger")),
    ("font-weight", ("bold", "400", "bolder")), ("line-height", ("1.5", "20px", "normal")),
    ("display", ("block", "none", "inline-block", "table-cell", "flex", "grid")), ("width", LENGTHS),
    ("max-width", LENGTHS), ("text-decoration", ("none", "underline red", "line-through")),
    ("text-align", ("left", "center")),
    ("list-style", ("none", "square inside")), ("vertical-align", ("top", "middle", "4px")), ("opacity", ("0.5", "1")),
    ("--v", ("5px", "1em")), ("--c", ("green", "var(--d, blue)")), ("content", ('"x"', "none")),
    ("transition", ("none", "color 1s")), ("all", ("unset", "revert")), ("mso-hide", ("all",)),
)  # fmt: skip


HIDDEN_HEAD = '<style data-premailer="ignore">head:not(#z#z), head:not(#z#z) * { display: none !important }</style>'
"""A rule for `*` would show the style sheets themselves."""


def make_mail(seed: int) -> str:
    """Return a whole HTML mail."""
    chance = Random(seed)
    sheets = "".join(f"<style>{_sheet(chance)}</style>" for _ in range(chance.choice((1, 1, 2))))
    body = "".join(_element(chance, 3) for _ in range(chance.randint(1, 4)))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"{HIDDEN_HEAD}<title>x</title>{sheets}</head><body>{body}</body></html>"
    )


def _sheet(chance: Random) -> str:
    return "\n".join(_rule(chance, nested=True) for _ in range(chance.randint(2, 9)))


def _rule(chance: Random, nested: bool) -> str:
    kinds: list[Callable[[], str]] = [lambda: f"{_selectors(chance)} {{ {_declarations(chance)} }}"] * 6
    if nested:
        inner = "".join(_rule(chance, nested=False) for _ in range(chance.randint(1, 3)))
        kinds += [lambda: f"@media {chance.choice(MEDIA)} {{ {inner} }}"] * 3
        kinds += [lambda: f"@supports ({chance.choice(('display:grid', 'no:thing'))}) {{ {inner} }}"]
        kinds += [lambda: f"@layer {chance.choice('kl')} {{ {inner} }}"]
        kinds += [lambda: f"{_compound(chance)} {{ {_declarations(chance)}; {_nested_rule(chance)} }}"]
        kinds += [lambda: "/* a } comment */"]
    return chance.choice(kinds)()


def _nested_rule(chance: Random) -> str:
    return f"& {_compound(chance)} {{ {_declarations(chance)} }}"


def _declarations(chance: Random) -> str:
    made = []
    for _ in range(chance.randint(1, 4)):
        name, known = chance.choice(PROPERTIES)
        made.append(f"{name}: {chance.choice(known)}{chance.choice(('', '', '', ' !important'))}")
    return "; ".join(made)


def _selectors(chance: Random) -> str:
    return ", ".join(_complex(chance) for _ in range(chance.choice((1, 1, 1, 2))))


def _complex(chance: Random) -> str:
    parts = [_compound(chance)]
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        parts += [chance.choice((" ", " ", ">", "+", "~")), _compound(chance)]
    return "".join(parts)


def _compound(chance: Random) -> str:
    simple = chance.choice((
        f".{chance.choice(CLASSES)}", f".{chance.choice(CLASSES)}", f"#{chance.choice(IDS)}", "*",
        chance.choice(BLOCKS + INLINES), f"{chance.choice(BLOCKS)}.{chance.choice(CLASSES)}",
        f":is(.{chance.choice(CLASSES)}, {chance.choice(BLOCKS)})", f":not(.{chance.choice(CLASSES)})",
        f":where(.{chance.choice(CLASSES)})", "[title]", f'[class~="{chance.choice(CLASSES)}"]', '[width="100"]',
    ))  # fmt: skip
    return simple + chance.choice(("", "", "", "", chance.choice(STATES)))


def _element(chance: Random, depth: int) -> str:
    name = chance.choice(BLOCKS + INLINES if depth > 1 else INLINES)
    attributes = "".join((
        f' class="{" ".join(chance.sample(CLASSES, chance.randint(1, 2)))}"' if chance.random() < 0.7 else "",
        f' id="{chance.choice(IDS)}"' if chance.random() < 0.1 else "",
        f' style="{_declarations(chance)}"'.replace('"x"', "'x'") if chance.random() < 0.25 else "",
        ' title="t"' if chance.random() < 0.2 else "",
        ' href="https://shop.example/a"' if name == "a" else "",
    ))  # fmt: skip
    inner = "".join(_element(chance, depth - 1) for _ in range(chance.randint(0, 3))) if depth > 1 else "text"
    if name == "td":
        return f'<table width="100"><tr><td{attributes}>{inner}</td><td class="b">y</td></tr></table>'
    if name == "ul":
        return f"<ul{attributes}><li>{inner or 'x'}</li><li class='c'>y</li></ul>"
    if name in ("p", "h1", "a", "b", "span", "i"):  # no block may stand in these
        inner = "".join(_element(chance, 1) for _ in range(chance.randint(0, 2))) if name in ("p", "h1") else "text"
    return f"<{name}{attributes}>{inner}</{name}>" + chance.choice(("", "", '<input type="checkbox" class="a">'))
