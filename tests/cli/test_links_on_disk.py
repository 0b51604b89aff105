"""Checks that no file of a project leads out of it: the canary in its .env is in no mail, error or import."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailshot.store.engine import Store
from tests.cli.test_errors import INVALID, tried
from tests.support.project import Shop

CANARY = "canaryc0ffee"


@pytest.fixture
def shop(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    store = Store.open(sqlite_url)
    made = Shop.open(store, tmp_path / "shop")
    made.campaign("hello")
    (made.folder / "secret").write_text(f"{CANARY}: {CANARY}\n", encoding="utf-8")
    (made.folder / "secret.csv").write_text(f"id,{CANARY}\n1,{CANARY}\n", encoding="utf-8")
    monkeypatch.setenv("MAILSHOT_TEST_CANARY", CANARY)
    monkeypatch.chdir(made.folder)
    yield made
    store.close()


TEMPLATES = ("hello/body.html", "hello/subject.txt", "hello/settings.yaml", "_base/x.html", "_base/x.css")
RULES = ("company.yaml", "facts.yaml", "topics.yaml", "guards.yaml", "audiences/x.yaml", "campaigns/x.yaml")


@pytest.mark.parametrize("target", ["../../secret", "/proc/self/environ", "../../../shop/secret"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_no_link_under_templates_is_followed(shop: Shop, name: str, target: str) -> None:
    path = shop.folder / "templates" / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    for command in (("rules", "check"), ("plan", "hello"), ("doctor",)):
        code, printed = tried(shop, *command)
        assert code != 0
        assert CANARY not in printed
        assert "leads from here out of the folder templates" in " ".join(printed.split())


@pytest.mark.parametrize("name", RULES)
def test_no_link_under_rules_is_followed(shop: Shop, name: str) -> None:
    path = shop.folder / "rules" / name
    path.unlink(missing_ok=True)
    path.symlink_to(shop.folder / "secret")
    for command in (("rules", "check"), ("rules", "list"), ("plan", "hello"), ("rules", "diff", "rules", "rules")):
        code, printed = tried(shop, *command)
        assert CANARY not in printed
        assert code == INVALID or command[1] == "diff"
        assert "leads from here out of the folder rules" in printed


def test_a_linked_folder_under_rules_is_not_read(shop: Shop) -> None:
    elsewhere = shop.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.yaml").write_text(f"audience: {CANARY}\n", encoding="utf-8")
    for path in (shop.folder / "rules/traits", shop.folder / "templates/_base"):
        path.symlink_to(elsewhere)
    code, printed = tried(shop, "rules", "check")
    assert code == INVALID
    assert CANARY not in printed


@pytest.mark.parametrize("name", ["templates/_base/x.html", "rules/audiences/x.yaml"])
def test_a_pipe_does_not_stop_us(shop: Shop, name: str) -> None:
    (shop.folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(shop.folder / name)
    code, printed = tried(shop, "rules", "check")
    assert code == INVALID
    assert "not a regular file" in printed


def test_a_project_and_its_folders_may_be_links(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    link = shop.folder.parent / "link"
    link.symlink_to(shop.folder)
    for name in ("rules", "templates"):
        (shop.folder / name).rename(shop.folder / f"my {name}")
        (shop.folder / name).symlink_to(f"my {name}")
    assert tried(shop, "rules", "check")[0] == 0
    shop.folder = link
    monkeypatch.chdir(link)
    assert tried(shop, "rules", "check")[0] == 0


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_linked_data_file_is_not_followed_but_a_linked_folder_is(shop: Shop, suffix: str) -> None:
    data = shop.folder / "data"
    data.mkdir()
    mapping = "name: m\nimports:\n  - {{kind: customers, file: {}, columns: {{key: id}}}}\n"
    (shop.folder / "m.yaml").write_text(mapping.format(f"data/x.{suffix}"), encoding="utf-8")
    (data / f"x.{suffix}").symlink_to("../secret.csv")
    code, printed = tried(shop, "import", "m.yaml")
    assert code == INVALID
    assert CANARY not in printed
    assert "leads from here out of the folder data" in printed
    (shop.folder / "chosen").symlink_to("data")
    (data / "real.csv").write_text("id\n1\n", encoding="utf-8")
    (data / "now.csv").symlink_to("real.csv")
    (shop.folder / "m.yaml").write_text(mapping.format("chosen/now.csv"), encoding="utf-8")
    assert tried(shop, "import", "m.yaml")[0] == 0
    (shop.folder / "n.yaml").write_text(mapping.format("now.csv"), encoding="utf-8")
    assert tried(shop, "import", "n.yaml", "--data", "chosen")[0] == 0


def test_links_in_git_are_not_followed(shop: Shop) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *who, *arguments], cwd=shop.folder, check=True, capture_output=True)

    (shop.folder / "rules/audiences/x.yaml").symlink_to("../../secret")
    git("init", "-q")
    git("add", "rules")
    git("commit", "-q", "-m", "x")
    (shop.folder / "rules/audiences/x.yaml").unlink()
    _, printed = tried(shop, "rules", "diff", "HEAD")
    assert CANARY not in printed
    assert "is a link, which is not followed in git" in printed


def test_schemas_are_not_written_through_links(shop: Shop) -> None:
    kept = (shop.folder / "secret").read_text(encoding="utf-8")
    (shop.folder / "rules/schemas").mkdir()
    (shop.folder / "rules/schemas/audience.json").symlink_to("../../secret")
    assert tried(shop, "rules", "schema")[0] == 0
    assert (shop.folder / "secret").read_text(encoding="utf-8") == kept
    outside = shop.folder.parent / "outside"
    outside.mkdir()
    for path in (shop.folder / "rules/schemas").iterdir():
        path.unlink()
    (shop.folder / "rules/schemas").rmdir()
    (shop.folder / "rules/schemas").symlink_to(outside)
    assert tried(shop, "rules", "schema")[0] != 0
    assert list(outside.iterdir()) == []
