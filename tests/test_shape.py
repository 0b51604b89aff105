"""The shape of the house: how long modules and functions may be, and that each module says what it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted([*ROOT.glob("mailshot/**/*.py"), *ROOT.glob("workers/*.py")])
OWN = [path for path in MODULES if "migrations" not in path.parts and "starter" not in path.parts]
LONGEST_MODULE = 350
FUNCTION_P90, LONGEST_FUNCTION = 25, 40


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _functions(path: Path) -> list[tuple[str, int]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for node in found
    ]


@pytest.mark.parametrize("path", OWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_too_long(path: Path) -> None:
    assert _lines(path) <= LONGEST_MODULE


def test_functions_are_short() -> None:
    sizes = sorted(((size, name) for path in OWN for name, size in _functions(path)), reverse=True)
    assert sizes[len(sizes) // 10][0] <= FUNCTION_P90
    assert [(name, size) for size, name in sizes if size > LONGEST_FUNCTION] == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "say what the module is"
