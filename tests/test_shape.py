"""The shape of the package: how long modules and functions may be, how modules depend on each other, what each says."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted([*ROOT.glob("mailshot/**/*.py"), *ROOT.glob("workers/*.py")])
OWN = [path for path in MODULES if "migrations" not in path.parts and "starter" not in path.parts]
LONGEST_MODULE = 350
FUNCTION_P90, LONGEST_FUNCTION = 25, 40
#: A shorter module must be used by more than one other module, or from outside its room.
SHORTEST_FRAGMENT = 40


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _functions(path: Path) -> list[tuple[str, int]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for node in functions
    ]


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {_name(path): path for path in OWN}


def _imports(path: Path) -> set[str]:
    """Return the modules of the package that a module imports anywhere: in functions and for types, too."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {member if member in NAMES else node.module for member in members}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return modules & set(NAMES) - {_name(path)}


IMPORTS = {name: _imports(path) for name, path in NAMES.items()}


@pytest.mark.parametrize("path", OWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_too_long(path: Path) -> None:
    assert _lines(path) <= LONGEST_MODULE


def test_functions_are_short() -> None:
    sizes = sorted(((size, name) for path in OWN for name, size in _functions(path)), reverse=True)
    assert sizes[len(sizes) // 10][0] <= FUNCTION_P90
    assert [(name, size) for size, name in sizes if size > LONGEST_FUNCTION] == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, "say in one plain sentence what the module is"
    assert docstring.splitlines()[0].rstrip().endswith((".", ":")), "begin with a whole sentence in one line"


def test_no_imports_run_in_a_circle() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_module_is_a_fragment_of_its_only_caller() -> None:
    callers = defaultdict(set)
    for name, imported in IMPORTS.items():
        for module in imported:
            callers[module].add(name)
    fragments = [
        f"{name} of {caller}"
        for name, (caller, *others) in sorted(callers.items())
        if not others
        and not NAMES[name].name.startswith("__")
        and _lines(NAMES[name]) < SHORTEST_FRAGMENT
        and name.rpartition(".")[0] == caller.rpartition(".")[0]
    ]
    assert fragments == []


def test_every_public_class_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for name, path in NAMES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}
