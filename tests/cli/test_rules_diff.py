"""Checks the real command line on a real git repository: what a change does, and rules watched while written."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailshot.campaign import watch
from mailshot.store.engine import Store
from tests.support import processes
from tests.support.campaigns import WEEK, add, buy, open_shop
from tests.support.project import Shop

INVALID, MISSING, REFUSED, UNAVAILABLE = 3, 4, 5, 6
ALL = "rules/audiences/all.yaml"
NORDIC = "audience: all\nwho: {country: [SE, DK]}\n"
WHO = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"), "x")


@pytest.fixture
def shop(sqlite_url: str, tmp_path: Path) -> Iterator[Shop]:
    """Give a shop in a sub-folder of a repository, its rules committed, with a few customers, on SQLite."""
    store = Store.open(sqlite_url)
    made = open_shop(store, tmp_path / "mono repo" / "shops" / "[bay]")
    for key, country in (("a", "NO"), ("b", "SE"), ("c", "NO")):
        buy(store, add(made, key, country=country), {1: 1})
    git(made, "init", "-q", "../..")
    commit(made)
    yield made
    store.close()


def git(shop: Shop, *arguments: str) -> str:
    quiet = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false", "-c", "protocol.file.allow=always")
    surroundings = {**os.environ, **WHO, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(shop.folder)}
    done = subprocess.run(
        ["git", *quiet, *arguments], cwd=shop.folder, env=surroundings, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(shop: Shop, message: str = "rules") -> str:
    git(shop, "add", "-A", ".")
    git(shop, "commit", "-q", "-m", message)
    return git(shop, "rev-parse", "HEAD")


def mailshot(shop: Shop, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process, as a user does, on a terminal of 80 columns."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILSHOT_")}
    surroundings = {**kept, "PYTHONPATH": str(processes.ROOT), "COLUMNS": "80", **shop.environment(), **more}
    command = [sys.executable, "-m", "mailshot", *arguments]
    return subprocess.run(
        command, env=surroundings, cwd=shop.folder, text=True, capture_output=True, timeout=60, check=False
    )


def diff(shop: Shop, *arguments: str, **more: str) -> dict[str, tuple[int | None, int | None]]:
    """Return the sizes of each audience that differs, before and after."""
    done = mailshot(shop, "rules", "diff", *arguments, "--json", **more)
    assert done.returncode == 0, done.stderr
    return {
        audience["name"]: (audience["before"], audience["after"]) for audience in json.loads(done.stdout)["audiences"]
    }


def put(shop: Shop, path: str, text: str) -> None:
    (shop.folder / path).write_text(text, encoding="utf-8")


def swap(shop: Shop, path: str, text: str) -> None:
    """Save a file at once, so that nobody sees half of it."""
    put(shop, f"{path}~", text)
    (shop.folder / f"{path}~").replace(shop.folder / path)


def flat_output(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_what_was_written_since_the_last_commit(shop: Shop) -> None:
    unchanged = flat_output(mailshot(shop, "rules", "diff"))
    assert re.search(r"\d E[SD]T 2 audiences and 1 campaign unchanged\.$", unchanged), unchanged
    put(shop, ALL, NORDIC)
    done = mailshot(shop, "rules", "diff", "--as-of", "2026-06-01")
    assert done.returncode == 0, done.stderr
    text = flat_output(done)
    assert "-> the working folder as of 2026-06-01 00:00 EDT" in text
    assert "all 3 1 0 0.00 2 5.00" in text
    assert "all (audience): its rule - a: not now: country is one of SE, DK (NO) - c: not now" in text
    assert "week 3 1 0 0.00 2 5.00" in text
    assert text.endswith("1 audience unchanged. Spent: in the year before, in USD.")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_revisions_are_called_as_git_calls_them(shop: Shop) -> None:
    first = git(shop, "rev-parse", "HEAD")
    git(shop, "tag", "-a", "v1.0", "-m", "first")
    put(shop, ALL, NORDIC)
    commit(shop)
    put(shop, ALL, "audience: all\nwho: {country: DK}\n")
    second = commit(shop)
    put(shop, ALL, "audience: all\nwho: {everyone: yes}\n")
    for before in ("HEAD~2", "v1.0", first, first[:9], "HEAD^^", "@~2"):
        assert diff(shop, before, "HEAD") == {"all": (3, 0)}, before
        assert diff(shop, before) == {}
    assert diff(shop, "v1.0", "HEAD~") == {"all": (3, 1)}
    assert diff(shop, second[:7], "v1.0") == {"all": (0, 3)}
    assert git(shop, "status", "--short") == f"M {ALL}"


def test_folders_are_versions_too(shop: Shop, tmp_path: Path) -> None:
    shutil.copytree(shop.folder, tmp_path / "other")
    shutil.copytree(shop.folder / "rules", tmp_path / "old rules")
    put(shop, ALL, NORDIC)
    assert diff(shop, str(tmp_path / "other")) == {"all": (3, 1)}
    assert diff(shop, str(tmp_path / "old rules")) == {"all": (3, 1)}
    assert diff(shop, ".", str(tmp_path / "old rules")) == {"all": (1, 3)}
    assert diff(shop, "rules", "HEAD") == {"all": (1, 3)}
    (tmp_path / "old rules/audiences/all.yaml").write_text("audience: all\nwho: {contry: NO}\n", encoding="utf-8")
    done = mailshot(shop, "rules", "diff", str(tmp_path / "old rules"))
    assert (done.returncode, "old rules/audiences/all.yaml:2:7: unknown condition or fact" in flat_output(done)) == (
        INVALID,
        True,
    )


def test_one_side_that_is_broken_is_named(shop: Shop) -> None:
    put(shop, ALL, "audience: all\nwho: {contry: SE}\n")
    put(shop, "rules/campaigns/week.yaml", "campaign: week\ntopic: [")
    done = mailshot(shop, "rules", "diff")
    assert done.returncode == INVALID
    assert "The rules after (the working folder) have errors:" in flat_output(done)
    assert "rules/audiences/all.yaml:2:7: unknown condition or fact 'contry'" in flat_output(done)
    assert "rules/campaigns/week.yaml:" in flat_output(done)
    commit(shop)
    put(shop, ALL, NORDIC)
    put(shop, "rules/campaigns/week.yaml", WEEK)
    done = mailshot(shop, "rules", "diff")
    assert (done.returncode, "HEAD:rules/audiences/all.yaml:2:7: unknown" in flat_output(done)) == (INVALID, True)
    assert "The rules before (HEAD (" in flat_output(done)
    # The others can still be looked at.
    assert diff(shop, "--audience", "everyone") == {}


def test_git_is_only_asked_and_never_believed(shop: Shop, tmp_path: Path) -> None:
    """Names with newlines, quotes, escapes and options in them, hidden files, links and folders where files were."""
    odd = (
        "-rf.yaml",
        "new\nline.yaml",
        '"quoted".yaml',
        "\x1b[31mred.yaml",
        ":(glob)*.yaml",
        "bl\u00e5.yaml",
        "$(x).yaml",
    )
    for number, name in enumerate(odd):
        put(shop, f"rules/audiences/{name}.yaml", f"audience: odd {number}\nwho: {{country: 'NO'}}\n")
    put(shop, "rules/audiences/.#all.yaml", "a lock of an editor")
    put(shop, "rules/notes.txt", "not: [yaml")
    (shop.folder / "rules/imports").mkdir()
    put(shop, "rules/imports/x.yaml", "not: [yaml")
    commit(shop)
    for number, name in enumerate(odd):
        put(shop, f"rules/audiences/{name}.yaml", f"audience: odd {number}\nwho: {{country: SE}}\n")
    assert diff(shop) == {f"odd {number}": (2, 1) for number in range(len(odd))}
    put(shop, "rules/audiences/\x1b[31mred.yaml", "audience: odd 3\nwho: {contry: SE}\n")
    commit(shop)
    done = mailshot(shop, "rules", "diff", "HEAD", "HEAD~")
    assert r"HEAD:rules/audiences/\x1b[31mred.yaml:2:7:" in flat_output(done)
    (shop.folder / "rules/audiences/link.yaml").symlink_to("all.yaml")
    put(shop, "rules/audiences/\x1b[31mred.yaml", "audience: odd 3\nwho: {country: SE}\n")
    put(shop, "rules/audiences/big.yaml", "#" * 70_000)
    commit(shop)
    text = flat_output(mailshot(shop, "rules", "diff", "HEAD", "HEAD"))
    assert "HEAD:rules/audiences/link.yaml: is a link, which is not followed in git" in text
    assert "HEAD:rules/audiences/big.yaml: is 70,000 bytes; at most 65,536 are allowed" in text


MISTAKES = {
    "unknown": (("HAED",), MISSING, "There is no revision or folder 'HAED'. Did you mean 'HEAD'?"),
    "too far back": (("HEAD~9",), MISSING, "There is no revision or folder 'HEAD~9'."),
    "range": (("HEAD~..HEAD",), MISSING, "is a range of revisions"),
    "option": (("--", "--output=/tmp/x"), MISSING, "There is no revision or folder '--output=/tmp/x'."),
    "newline": (("HEAD\n",), MISSING, "There is no revision or folder"),
    "empty": (("",), MISSING, "There is no revision or folder ''."),
    "file of a revision": (("HEAD:shops",), MISSING, "There is no revision or folder"),
    "audience": (("--audience", "al"), MISSING, "Neither version has an audience 'al'. Did you mean 'all'?"),
    "folder without rules": (("/",), MISSING, "There is no revision or folder '/'."),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_version_that_is_none_is_told(shop: Shop, what: str) -> None:
    arguments, code, message = MISTAKES[what]
    done = mailshot(shop, "rules", "diff", *arguments)
    assert (done.returncode, message in flat_output(done)) == (code, True), done.stderr
    assert done.stdout == ""


def test_a_project_without_history_is_told(shop: Shop, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "mono repo/.git")
    bounds = {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    done = mailshot(shop, "rules", "diff", **bounds)
    assert (done.returncode, "is not in a git repository. Create one" in flat_output(done)) == (REFUSED, True)
    git(shop, "init", "-q")
    done = mailshot(shop, "rules", "diff", **bounds)
    assert (done.returncode, "The repository has no commit yet." in flat_output(done)) == (REFUSED, True)
    put(shop, ".gitignore", "rules/\n")
    commit(shop)
    done = mailshot(shop, "rules", "diff", **bounds)
    assert (done.returncode, "has no folder rules. If it was never committed: git add rules" in flat_output(done)) == (
        MISSING,
        True,
    )
    done = mailshot(shop, "rules", "diff", PATH=str(tmp_path), **bounds)
    assert (done.returncode, "git is not installed." in flat_output(done)) == (UNAVAILABLE, True)


def test_a_hook_and_a_shallow_copy_do_not_mislead(shop: Shop, tmp_path: Path) -> None:
    put(shop, ALL, NORDIC)
    assert diff(shop, GIT_DIR=".git", GIT_INDEX_FILE=".git/index", GIT_WORK_TREE=".") == {"all": (3, 1)}
    commit(shop)
    copy = tmp_path / "copy"
    git(shop, "clone", "-q", "--depth", "1", f"file://{tmp_path / 'mono repo'}", str(copy))
    shallow = Shop(shop.store, copy / "shops/[bay]")
    assert diff(shallow, "HEAD") == {}
    done = mailshot(shallow, "rules", "diff", "HEAD~")
    assert (done.returncode, "git fetch --unshallow" in flat_output(done)) == (MISSING, True)


def test_no_customers_and_no_database(shop: Shop, tmp_path: Path) -> None:
    put(shop, ALL, NORDIC)
    done = mailshot(shop, "rules", "diff", MAILSHOT_DATABASE=f"sqlite:///{tmp_path / 'new.db'}")
    assert (done.returncode, "mailshot db upgrade" in flat_output(done)) == (UNAVAILABLE, True)
    assert mailshot(shop, "db", "upgrade", MAILSHOT_DATABASE=f"sqlite:///{tmp_path / 'new.db'}").returncode == 0
    assert diff(shop, MAILSHOT_DATABASE=f"sqlite:///{tmp_path / 'new.db'}") == {"all": (0, 0)}


def test_count_and_list_go_on_with_what_is_sound(shop: Shop) -> None:
    put(shop, ALL, "audience: all\nwho: {contry: SE}\n")
    put(shop, "rules/audiences/half.yaml", "audience: half\nwho: {country: ")
    for arguments in (("list",), ("count",)):
        done = mailshot(shop, "rules", *arguments)
        assert done.returncode == INVALID
        assert "everyone" in done.stdout
        assert "rules/audiences/all.yaml:2:7: unknown condition or fact 'contry'" in done.stderr
        assert "rules/audiences/half.yaml:" in done.stderr
    done = mailshot(shop, "rules", "count", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["audiences"], len(document["errors"])) == (INVALID, {"everyone": 3}, 2)
    done = mailshot(shop, "rules", "count", "everyone")
    assert (done.returncode, done.stderr) == (0, "")
    done = mailshot(shop, "rules", "count", "half")
    assert (done.returncode, "rules/audiences/half.yaml:" in done.stderr) == (INVALID, True)
    done = mailshot(shop, "rules", "count", "all")
    assert (done.returncode, "half.yaml" in done.stderr) == (INVALID, False)
    # Without this file, the others would mean something else.
    put(shop, "rules/company.yaml", "time_zone: [")
    done = mailshot(shop, "rules", "count")
    assert (done.returncode, done.stdout) == (INVALID, "")


def test_a_plan_shows_its_difference(shop: Shop) -> None:
    done = mailshot(shop, "plan", "week", "--diff")
    assert (done.returncode, "There is no earlier plan to compare with." in flat_output(done)) == (0, True)
    assert json.loads(mailshot(shop, "plan", "week", "--diff", "--json").stdout)["diff"]["moves"] == []
    put(shop, "rules/campaigns/week.yaml", WEEK.replace('when: {country: "NO"}', "when: {country: DK}"))
    done = mailshot(shop, "plan", "week", "--diff")
    text = flat_output(done)
    assert "from to customers spent USD mail 'meat' no content 2 5.00" in text
    assert "mail 'meat' -> no content: a, c" in text
    put(shop, "rules/campaigns/week.yaml", WEEK + "description: again\n")
    difference = json.loads(mailshot(shop, "plan", "week", "--diff", "--json", "--examples", "1").stdout)["diff"]
    assert [(move["from"], move["to"], move["customers"], move["examples"]) for move in difference["moves"]] == [
        ("no content", "mail 'meat'", 2, ["a"])
    ]
    assert "diff" not in json.loads(mailshot(shop, "plan", "week", "--json").stdout)
    done = mailshot(shop, "plan", "week", "--against", "run 3")
    assert (done.returncode, "'week' has no run 3." in flat_output(done)) == (MISSING, True)


class Watcher:
    """A running `rules watch` and what it has told."""

    def __init__(self, shop: Shop, *arguments: str) -> None:
        self.log = shop.folder / "watch.log"
        surroundings = {**shop.environment(), "COLUMNS": "100"}
        with self.log.open("w") as file:
            command = [sys.executable, "-m", "mailshot", "rules", "watch", *arguments]
            self.process = processes.start(command, surroundings, stdout=file, stderr=subprocess.STDOUT)

    def hears(self, phrase: str) -> None:
        processes.until(
            lambda: phrase in " ".join(self.log.read_text().split()), 30, f"{phrase} in {self.log.read_text()}"
        )

    def end(self) -> str:
        assert processes.end(self.process, signal.SIGINT, 20) == 0
        log = self.log.read_text()
        assert "Traceback" not in log
        return log


def test_saves_are_counted_while_they_come(shop: Shop) -> None:
    watcher = Watcher(shop)
    watcher.hears("press Ctrl-C to stop.")
    put(shop, ALL, NORDIC)
    watcher.hears("all: 3 -> 1 (-2)")
    put(shop, ALL, "audience: all\nwho: {contry: SE}\n")
    watcher.hears("rules/audiences/all.yaml:2:7: unknown condition or fact 'contry'")
    put(shop, ALL, "")
    watcher.hears("rules/audiences/all.yaml:1:1: is not an audience")
    swap(shop, ALL, "audience: all\nwho: {everyone: yes}\n")  # as many editors save
    watcher.hears("all: 1 -> 3 (+2)")
    watcher.hears("The rules are valid again.")
    put(shop, "rules/audiences/more.yaml", "audience: more\nwho: {country: 'NO'}\n")
    watcher.hears("more: new, 2")
    (shop.folder / "rules/audiences/more.yaml").unlink()
    watcher.hears("more: gone, was 2")
    (shop.folder / "rules").rename(shop.folder / "away")
    watcher.hears("There is no folder")
    (shop.folder / "away").rename(shop.folder / "rules")
    put(shop, "rules/topics.yaml", "offers: {titel: Offers}\n")
    watcher.hears("rules/topics.yaml:1:10:")
    log = watcher.end()
    assert "everyone:" not in log


def test_only_the_audience_that_was_named_is_counted(shop: Shop) -> None:
    watcher = Watcher(shop, "all")
    watcher.hears("press Ctrl-C to stop.")
    swap(shop, "rules/audiences/everyone.yaml", "audience: everyone\nwho: {country: DK}\n")
    swap(shop, ALL, "audience: all\nwho: {country: [SE, DK]}\n")
    watcher.hears("all: 3 -> 1 (-2)")
    assert "everyone" not in watcher.end()


def test_a_burst_of_saves_makes_few_signs(shop: Shop) -> None:
    """One save comes in each wait of the watcher, so no clock has a part in it."""
    saves_left = iter(range(1, 2 * watch.MAX_SCANS + 6))
    waits = 0

    def wait(_: float) -> bool:
        nonlocal waits
        waits += 1
        if (number := next(saves_left, None)) is not None:
            put(shop, ALL, f"audience: all\nwho: {{country: SE}}\n{'#' * number}\n")
        return waits > 4 * watch.MAX_SCANS

    # One for the first look and one for the next, each after PATIENCE saves without a rest; one when the rest comes.
    assert sum(1 for _ in watch.watch_saves(shop.folder, wait)) == 3


def test_rules_that_are_broken_from_the_start_can_be_mended(shop: Shop) -> None:
    put(shop, "rules/company.yaml", "time_zone: Mars/Base\n")
    watcher = Watcher(shop)
    watcher.hears("rules/company.yaml:1:12:")
    put(shop, "rules/company.yaml", "time_zone: Europe/Oslo\n")
    watcher.hears("all 3")
    watcher.end()
    done = mailshot(shop, "rules", "watch", "al")
    assert (done.returncode, "There is no audience 'al'. Did you mean 'all'?" in flat_output(done)) == (MISSING, True)
