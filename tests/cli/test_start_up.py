"""What commands that only look import: a library that none of them needs would make each of them slower."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mailshot.cli import init, main
from tests.support import processes

#: What only importing, sending, serving, drawing or moving the database needs, or compiling templates.
HEAVY = {
    "aiosmtpd",
    "aiosmtplib",
    "alembic",
    "babel.dates",
    "babel.numbers",
    "cssutils",
    "dramatiq",
    "duckdb",
    "email_validator",
    "inscriptis",
    "jinja2",
    "limits",
    "lxml",
    "mako",
    "matplotlib",
    "premailer",
    "prometheus_client",
    "redis",
    "requests",
    "starlette",
    "uvicorn",
}
#: What a help needs none of, either.
DATABASE = {"sqlalchemy", "sqlmodel", "ruamel"}
RUN = """
import sys
from mailshot.__main__ import main
sys.argv = ["mailshot", *sys.argv[1:]]
try:
    main()
finally:
    print("imported:", *sys.modules)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a new project."""
    folder = tmp_path_factory.mktemp("start") / "shop"
    init.create_project(folder)
    return folder


def imported(folder: Path, *arguments: str) -> set[str]:
    """Run a command in a process of its own and return the modules it imported."""
    command = [sys.executable, "-c", RUN, *arguments]
    environment = {"PATH": "", "PYTHONPATH": str(processes.ROOT)}
    ran = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=60, check=True)
    return set(ran.stdout.rpartition("imported:")[2].split())


@pytest.mark.parametrize("arguments", ["status", "status --json", "rules count", "report", "report --json"])
def test_commands_that_only_look_import_nothing_heavy(shop: Path, arguments: str) -> None:
    modules = imported(shop, *arguments.split())
    assert "sqlmodel" in modules
    assert modules & HEAVY == set()


def test_rules_are_checked_without_what_only_compiling_a_template_needs(shop: Path) -> None:
    assert imported(shop, "rules", "check") & (HEAVY - {"email_validator", "inscriptis", "jinja2", "lxml"}) == set()


@pytest.mark.parametrize("arguments", ["plan --help", "status --help", "rules count --help"])
def test_a_help_imports_neither_a_database_nor_the_reader_of_rules(shop: Path, arguments: str) -> None:
    assert imported(shop, *arguments.split()) & (HEAVY | DATABASE) == set()


def test_the_list_of_all_commands_imports_what_the_demo_reads_mail_with_and_nothing_else_heavy(shop: Path) -> None:
    assert imported(shop, "--help") & (HEAVY | DATABASE) == {"lxml"}


def test_a_command_imports_no_other_command(shop: Path) -> None:
    others = {f"mailshot.cli.{place.partition(':')[0]}" for place in main.COMMANDS.values() if isinstance(place, str)}
    assert imported(shop, "status") & others == {"mailshot.cli.status"}


def test_a_command_leaves_the_database_closed(shop: Path) -> None:
    imported(shop, "status")
    assert sorted(path.name for path in shop.glob("mailshot.db*")) == ["mailshot.db", "mailshot.db-turn"]


def test_garbage_is_collected_as_usual_from_the_first_collection_on() -> None:
    program = """
import gc
from mailshot import __main__
usual = gc.get_threshold()
__main__._postpone_collections()
assert gc.get_threshold()[0] > usual[0]
gc.collect()
assert gc.get_threshold() == usual
assert gc.callbacks == []
"""
    subprocess.run([sys.executable, "-c", program], cwd=processes.ROOT, timeout=60, check=True)
