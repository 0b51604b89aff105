"""Checks the real command line: every mistake gets words, its exit code and no traceback, and changes nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mailshot.__main__ import run_command
from mailshot.cli.main import cli
from mailshot.store import engine
from mailshot.store.engine import Store
from tests.support import processes, project
from tests.support.campaigns import WEEK, buy, insert, open_shop
from tests.support.project import Shop

INVALID, MISSING, REFUSED, UNAVAILABLE = 3, 4, 5, 6
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
TEMPLATE = "templates/hello/body.html"


@pytest.fixture
def shop(sqlite_url: str, tmp_path: Path) -> Iterator[Shop]:
    """Give a shop with a planned campaign and a few customers, on SQLite."""
    store = Store.open(sqlite_url)
    made = open_shop(store, tmp_path / "shop")
    for name, country in (("a", "NO"), ("b", "SE"), ("c", None)):
        (customer_id,) = made.add([project.person(name, f"{name}@mail.example") | {"country": country}])
        buy(store, customer_id, {1: 2})
    yield made
    store.close()


def mailshot(shop: Shop, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process, as a user does, on a terminal of 80 columns."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILSHOT_")}
    surroundings = {**kept, "PYTHONPATH": str(processes.ROOT), "COLUMNS": "80", **shop.environment(**more)}
    command = [sys.executable, "-m", "mailshot", *arguments]
    return subprocess.run(
        command, env=surroundings, cwd=shop.folder, text=True, capture_output=True, timeout=60, check=False
    )


def tried(shop: Shop, *arguments: str, **more: str) -> tuple[int, str]:
    """Run a command in this process and return its exit code and what it told on stderr."""
    from mailshot.cli import output

    errors = io.StringIO()
    output.err.file, kept = errors, output.err.file
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in shop.environment(**more).items():
                patch.setenv(name, value)
            result = CliRunner().invoke(cli, arguments)
            if result.exception and not isinstance(result.exception, SystemExit):
                raised = result.exception

                def fail() -> None:
                    raise raised

                with pytest.raises(SystemExit) as ended:
                    run_command(fail)
                return int(str(ended.value.code)), errors.getvalue()
    finally:
        output.err.file = kept
    return result.exit_code, errors.getvalue() + result.output


def rows(shop: Shop) -> str:
    """Return the whole database as text."""
    url = shop.store.engine.url.database
    with closing(sqlite3.connect(str(url))) as connection:
        return "\n".join(connection.iterdump())


# What is put into which file, the command, its exit code, and what it must say.
MISTAKES = {
    "unknown fact": (
        "rules/audiences/all.yaml",
        "audience: all\nwho: {contry: 'NO'}\n",
        ("plan", "week"),
        INVALID,
        "rules/audiences/all.yaml:2:7: unknown condition or fact 'contry'",
    ),
    "wrong type": (
        "rules/audiences/all.yaml",
        "audience: all\nwho: {joined_at: soon}\n",
        ("plan", "week"),
        INVALID,
        "all.yaml:2:18: 'soon' is not a date",
    ),
    "bad window": (
        "rules/audiences/all.yaml",
        "audience: all\nwho: {bought: {within: ever}}\n",
        ("rules", "count"),
        INVALID,
        "all.yaml:2:24: 'within': 'ever' is not a length of time",
    ),
    "duplicate key": (
        "rules/audiences/all.yaml",
        "audience: all\naudience: b\n",
        ("rules", "check"),
        INVALID,
        "all.yaml:2:1: 'audience' is given twice",
    ),
    "alias bomb": ("rules/audiences/all.yaml", BOMB, ("rules", "check"), INVALID, "all.yaml:1:4: uses an anchor"),
    "unknown fact in a mail": (TEMPLATE, "<p>{{ customer.frist_name }}</p>", ("plan", "week"), INVALID, "first_name"),
    "syntax error": (
        TEMPLATE,
        "<p>{% if customer.first_name %}</p>",
        ("plan", "week"),
        INVALID,
        "templates/hello/body.html:1:",
    ),
    "class of a customer": (
        TEMPLATE,
        "<style>.a{color:red}</style><p class='{{ customer.country }}'>x</p>",
        ("plan", "week"),
        INVALID,
        "templates/hello/body.html:1:",
    ),
    "no template": (
        "rules/campaigns/week.yaml",
        WEEK.replace("template: hello", "template: helo"),
        ("plan", "week"),
        INVALID,
        "rules/campaigns/week.yaml:7:",
    ),
    "unknown audience": (
        "rules/campaigns/week.yaml",
        WEEK.replace("audience: all", "audience: al"),
        ("plan", "week"),
        INVALID,
        "week.yaml:4:11: unknown audience 'al'",
    ),
    "unknown word": (
        "rules/campaigns/week.yaml",
        WEEK + "holdot: 5%\n",
        ("plan", "week"),
        INVALID,
        "Did you mean 'holdout'?",
    ),
    "past": (
        "rules/campaigns/week.yaml",
        WEEK + "schedule: {at: 2020-01-01}\n",
        ("plan", "week"),
        INVALID,
        "week.yaml:12:16: this moment has passed",
    ),
    "bad cron": (
        "rules/campaigns/week.yaml",
        WEEK + 'schedule: {cron: "99 * * * *"}\n',
        ("plan", "week"),
        INVALID,
        "week.yaml:12:18",
    ),
    "never due": (
        "rules/campaigns/week.yaml",
        WEEK + 'schedule: {cron: "0 0 31 2 *"}\n',
        ("plan", "week"),
        INVALID,
        "week.yaml:12:18",
    ),
    "bad share": (
        "rules/campaigns/week.yaml",
        WEEK.replace("10%", "inf%"),
        ("plan", "week"),
        INVALID,
        "week.yaml:5:10",
    ),
    "odd offers": (
        "rules/campaigns/week.yaml",
        WEEK.replace("take: 2, at_least: 1", "take: 2, at_least: 3"),
        ("plan", "week"),
        INVALID,
        "'at_least' asks for 3 products",
    ),
    "unknown campaign": ("rules/x.txt", "", ("plan", "weak"), MISSING, "Did you mean 'week'?"),
    "unknown customer": (
        "rules/x.txt",
        "",
        ("rules", "explain", "week", "zz"),
        MISSING,
        "no customer with the key or address 'zz'",
    ),
    "unknown audience of explain": ("rules/x.txt", "", ("rules", "explain", "al", "a"), MISSING, "Did you mean 'all'?"),
    "not planned": ("rules/x.txt", "", ("preview", "week", "--text"), REFUSED, "mailshot plan 'week'"),
    "no run": ("rules/x.txt", "", ("pause", "week"), REFUSED, "no run or schedule that can be set to 'paused'"),
    "no report": ("rules/x.txt", "", ("report", "week"), MISSING, "There is no run of 'week'"),
    "init into a project": ("rules/x.txt", "", ("init", "."), REFUSED, "already contains a project"),
    "wrong argument": ("rules/x.txt", "", ("plan",), 2, "campaign is missing."),
    "missing column": (
        "m.yaml",
        "name: m\nimports:\n  - kind: customers\n    file: c.csv\n    columns: {key: nr}\n",
        ("import", "m.yaml", "--data", "."),
        INVALID,
        "nr",
    ),
    "no mapping": ("rules/x.txt", "", ("import", "none.yaml"), INVALID, "none.yaml: cannot be read"),
    "broken parquet": (
        "m.yaml",
        "name: m\nimports:\n  - kind: customers\n    file: c.parquet\n    columns: {key: nr}\n",
        ("import", "m.yaml", "--data", "."),
        INVALID,
        "c.parquet",
    ),
    "latin-1": (
        "m.yaml",
        "name: m\nimports:\n  - kind: customers\n    file: l.csv\n    columns: {key: id}\n",
        ("import", "m.yaml", "--data", "."),
        INVALID,
        "l.csv",
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told_and_nothing_changes(shop: Shop, what: str) -> None:
    path, text, arguments, code, message = MISTAKES[what]
    (shop.folder / path).write_text(text, encoding="utf-8")
    (shop.folder / "c.csv").write_text("id,name\n1,Ann\n", encoding="utf-8")
    (shop.folder / "l.csv").write_bytes("id,name\n1,André\n".encode("latin-1"))
    (shop.folder / "c.parquet").write_bytes(b"PAR1\x00\x01truncated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shop.folder)
        tried(shop, "db", "version")  # the first look keeps the print of the address key
        tried(shop, "status")
        before = rows(shop)
        exit_code, printed = tried(shop, *arguments)
    assert (exit_code, message in printed) == (code, True), printed
    assert "Traceback" not in printed
    assert rows(shop) == before


SURROUNDINGS = {
    "bad setting": ({"MAILSHOT_WEB_PORT": "http"}, ("status",), INVALID, "MAILSHOT_WEB_PORT"),
    "unknown setting": ({"MAILSHOT_SMPT": "x"}, ("status",), INVALID, "Did you mean 'MAILSHOT_SMTP'?"),
    "another address key": (
        {"MAILSHOT_ADDRESS_KEY": "ab" * 32},
        ("status",),
        INVALID,
        "is not the key this database was created with",
    ),
    "no database": (
        {"MAILSHOT_DATABASE": "sqlite:///new.db"},
        ("plan", "week"),
        UNAVAILABLE,
        "Run 'mailshot db upgrade'",
    ),
    "not a database": (
        {"MAILSHOT_DATABASE": "sqlite:///m.txt"},
        ("status",),
        UNAVAILABLE,
        "is not a valid SQLite database",
    ),
    "no folder": ({"MAILSHOT_DATABASE": "sqlite:///none/new.db"}, ("status",), UNAVAILABLE, "does not exist"),
    "no server": ({"MAILSHOT_DATABASE": "postgresql://u@127.0.0.1:1/x"}, ("status",), UNAVAILABLE, "does not answer"),
    "no project": ({"MAILSHOT_PROJECT": "/nowhere"}, ("rules", "check"), MISSING, "mailshot init"),
    "launch without SMTP": ({"MAILSHOT_SMTP": "smtp://127.0.0.1:1"}, ("launch", "week"), UNAVAILABLE, "127.0.0.1:1"),
    "test mail without SMTP": (
        {"MAILSHOT_SMTP": "smtp://127.0.0.1:1"},
        ("send-test", "week", "x@x.example"),
        UNAVAILABLE,
        "127.0.0.1:1",
    ),
    "doctor without SMTP": ({"MAILSHOT_SMTP": "smtp://127.0.0.1:1"}, ("doctor",), UNAVAILABLE, "smtp"),
}


@pytest.mark.parametrize("what", SURROUNDINGS)
def test_what_is_missing_around_us_is_told(shop: Shop, what: str) -> None:
    variables, arguments, code, message = SURROUNDINGS[what]
    (shop.folder / "m.txt").write_text("not a database, but long enough to look like one " * 20, encoding="utf-8")
    assert tried(shop, "plan", "week")[0] == 0
    before = rows(shop)
    done = mailshot(shop, *arguments, **variables)
    assert done.returncode == code, done.stderr
    assert message in " ".join((done.stderr + done.stdout * (arguments == ("doctor",))).split())
    assert "Traceback" not in done.stderr
    assert rows(shop) == before


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        (("inbox",), "MAILSHOT_INBOX_SMTP_PORT"),
        (("inbox",), "MAILSHOT_INBOX_WEB_PORT"),
        (("up", "--inbox"), "MAILSHOT_INBOX_SMTP_PORT"),
        (("up", "--inbox"), "MAILSHOT_INBOX_WEB_PORT"),
        (("up",), "MAILSHOT_WEB_PORT"),
        (("web",), "MAILSHOT_WEB_PORT"),
    ],
)
def test_a_port_in_use_is_told_with_its_setting(shop: Shop, arguments: tuple[str, ...], setting: str) -> None:
    ports = {f"MAILSHOT_{name}_PORT": str(processes.free_port()) for name in ("WEB", "INBOX_SMTP", "INBOX_WEB")}
    with socket.create_server(("127.0.0.1", int(ports[setting]))):
        done = mailshot(shop, *arguments, **ports)
    error, remedy = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (UNAVAILABLE, "")
    assert error == f"Error: Cannot listen on 127.0.0.1:{ports[setting]}: another program uses the port."
    assert f"set {setting} to another port" in remedy


@pytest.mark.parametrize("arguments", [("up",), ("mailbox", "receive")])
def test_a_mailbox_port_in_use_is_told_before_anything_runs(shop: Shop, arguments: tuple[str, ...]) -> None:
    port, web = processes.free_port(), str(processes.free_port())
    with socket.create_server(("127.0.0.1", port)):
        mailbox = f"lmtp://127.0.0.1:{port}"
        done = mailshot(shop, *arguments, MAILSHOT_MAILBOX=mailbox, MAILSHOT_WEB_PORT=web)
    error, remedy = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (UNAVAILABLE, "")
    assert error == f"Error: Cannot listen on 127.0.0.1:{port}: another program uses the port."
    assert "set MAILSHOT_MAILBOX to another port" in remedy


def test_a_newer_database_is_left_alone(shop: Shop) -> None:
    with closing(sqlite3.connect(str(shop.store.engine.url.database))) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = rows(shop)
    for arguments in (("status",), ("db", "upgrade")):
        code, printed = tried(shop, *arguments)
        assert (code, "newer than we are" in printed) == (UNAVAILABLE, True)
    assert rows(shop) == before


def test_a_locked_database_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        engine, "PRAGMAS", (*tuple(p for p in engine.PRAGMAS if "timeout" not in p), "PRAGMA busy_timeout=50")
    )
    with closing(sqlite3.connect(str(shop.store.engine.url.database), isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        code, printed = tried(shop, "plan", "week")
        foreign.execute("ROLLBACK")
    assert (code, "is locked by another process" in printed) == (UNAVAILABLE, True)


def test_errors_of_a_plan_stop_the_launch(shop: Shop) -> None:
    with processes.sink(shop.folder) as sink:
        (shop.folder / TEMPLATE).write_text("<p>Hello</p>", encoding="utf-8")
        planned = mailshot(shop, "plan", "week")
        launched = mailshot(shop, "launch", "week", MAILSHOT_SMTP=sink.url)
    assert planned.returncode == INVALID
    assert "Error: meat: templates/hello/body.html: There is no link to unsubscribe" in " ".join(planned.stdout.split())
    assert (launched.returncode, "has errors" in launched.stderr) == (REFUSED, True)


def test_output_for_scripts_is_one_json_document(shop: Shop) -> None:
    with processes.sink(shop.folder) as sink:
        commands = [
            ("plan", "week"),
            ("rules", "check"),
            ("rules", "count"),
            ("rules", "explain", "week", "a"),
            ("rules", "explain", "all", "a"),
            ("traits",),
            ("launch", "week"),
            ("status",),
            ("report",),
            ("report", "week"),
            ("doctor",),
        ]
        results = {arguments: tried(shop, *arguments, "--json", MAILSHOT_SMTP=sink.url) for arguments in commands}
        listed = mailshot(shop, "report", "--csv")
    answers = {arguments: json.loads(printed) for arguments, (_, printed) in results.items()}
    assert {code for code, _ in results.values()} == {0}
    assert answers["plan", "week"]["mails"] == answers["launch", "week"]["mails"] > 0
    assert answers["rules", "explain", "all", "a"]["outcome"] == "In the audience."
    (line,) = csv.DictReader(io.StringIO(listed.stdout))
    assert line["campaign"] == "week"


def test_words_in_brackets_are_printed_as_they_are(shop: Shop) -> None:
    with shop.store.write() as connection:
        connection.exec_driver_sql("UPDATE product SET name = '[/red] [bold]Kale[/bold]'")
    text = "audience: '[b]all[/x]'\ndescription: '[/nothing] to close'\nwho: {bought: {name: '[/red] [bold]Kale[/bold]'}}\n"  # noqa: E501
    (shop.folder / "rules/audiences/odd.yaml").write_text(text, encoding="utf-8")
    for arguments in (("rules", "list"), ("rules", "count"), ("rules", "explain", "[b]all[/x]", "a")):
        code, printed = tried(shop, *arguments)
        assert code == 0, printed
        assert "[b]all[/x]" in printed
    assert "[/red] [bold]Kale[/bold]" in " ".join(printed.split())


def test_a_line_of_a_template_is_printed_as_it_is(shop: Shop) -> None:
    written = "<p xmlns:o='urn:office:office'>{{ customr.city }}</p>"
    (shop.folder / TEMPLATE).write_text(written, encoding="utf-8")
    code, printed = tried(shop, "plan", "week")
    assert (code, written in printed) == (INVALID, True), printed


def test_tables_fit_80_columns_and_break_no_number(shop: Shop) -> None:
    insert(shop.store, *_runs())
    for arguments in (("status",), ("report",), ("plan", "week")):
        table = mailshot(shop, *arguments).stdout
        assert max(len(line) for line in table.splitlines() if not line.startswith("Next:")) <= 80
    headings = mailshot(shop, "report").stdout.splitlines()[1].split()
    assert headings == ["run", "campaign", "state", "as", "of", "sent", "opened", "clicked", "unsubscribed", "goal"]
    assert mailshot(shop, "status").stdout.split("\n")[0].split()[-1] == "unconfirmed"


def _runs() -> tuple[object, list[dict[str, object]]]:
    from mailshot.store import tables

    row = {
        "topic": "offers",
        "definition": "d",
        "at_least_once": False,
        "state": "running",
        "as_of": project.NOW,
        "launched_at": project.NOW,
    }
    return tables.Run, [{**row, "campaign": f"a campaign with quite a long name {n}"} for n in range(3)]


@pytest.mark.parametrize(
    "command",
    [
        "",
        "init",
        "import",
        "traits",
        "rules",
        "rules check",
        "rules explain",
        "rules diff",
        "rules watch",
        "plan",
        "backtest",
        "preview",
        "send-test",
        "launch",
        "pause",
        "resume",
        "cancel",
        "resolve",
        "status",
        "report",
        "up",
        "worker",
        "db",
        "doctor",
        "demo",
    ],
)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(cli, [*command.split(), "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert result.exit_code == 0
    assert "Usage: mailshot" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("example", [[], ["--example", "grocery"]], ids=["empty", "grocery"])
def test_a_new_project_is_sound(tmp_path: Path, example: list[str]) -> None:
    runner = CliRunner()
    assert runner.invoke(cli, ["init", str(tmp_path / "new"), *example]).exit_code == 0
    assert (tmp_path / "new/.env").stat().st_mode & 0o077 == 0
    surroundings = {"MAILSHOT_PROJECT": str(tmp_path / "new")}
    for command in (["rules", "check"], ["rules", "test"]):
        result = runner.invoke(cli, command, env=surroundings)
        assert result.exit_code == 0, result.output


def test_a_new_project_works_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first commands of a newcomer show, with the made-up customers that are there."""
    runner, folder = CliRunner(), tmp_path / "new"
    assert runner.invoke(cli, ["init", str(folder)]).exit_code == 0
    monkeypatch.chdir(folder)
    loaded = runner.invoke(cli, ["import", "rules/imports/shop.yaml"])
    assert loaded.exit_code == 0, loaded.output
    assert "rejected" not in loaded.output.split("Next:")[0].replace("unchanged  rejected", "")
    planned = json.loads(runner.invoke(cli, ["plan", "hello", "--json"]).output)
    assert (planned["customers"], planned["mails"], planned["errors"]) == (5, 2, [])
    assert planned["left_out"] == {"no consent": 1}
    preview = runner.invoke(cli, ["preview", "hello"])
    assert preview.exit_code == 0, preview.output
    assert "Thank you, Ada" in preview.output
