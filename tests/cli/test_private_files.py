"""Checks that what holds secrets or people's data is for its owner alone, and that the doctor tells when it is not."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailshot.cli import init, output, private_files
from mailshot.errors import Refused
from mailshot.inbox.mailbox import Mailbox
from mailshot.settings import load_settings


@pytest.fixture(autouse=True)
def no_umask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MAILSHOT_DATABASE", raising=False)
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_project_is_private_and_keeps_itself_out_of_version_control(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / ".gitignore").write_text("own\n.env\n", encoding="utf-8")
    init.create_project(folder)
    assert {path.name: mode(path) for path in folder.glob("*.db*")} | {".env": mode(folder / ".env")} == {
        "mailshot.db": 0o600,
        "mailshot.db-turn": 0o600,  # empty: by it writers take turns
        ".env": 0o600,
    }
    lines = (folder / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert lines == ["own", *private_files.IGNORED]
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    assert private_files.check_private_files(load_settings(folder))


def test_dangling_links_are_not_written_through(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / ".env").symlink_to("../elsewhere")
    with pytest.raises(Refused):
        init.create_project(folder)
    assert not (tmp_path / "elsewhere").exists()


def test_a_preview_is_private_also_in_place_of_a_former_one(tmp_path: Path) -> None:
    path, kept = tmp_path / "preview.html", tmp_path / "kept"
    path.write_text("former", encoding="utf-8")
    output.write_private(path, b"new")
    assert (mode(path), path.read_bytes()) == (0o600, b"new")
    kept.write_text("kept", encoding="utf-8")
    path.unlink()
    path.symlink_to("kept")
    output.write_private(path, b"new")
    assert kept.read_text(encoding="utf-8") == "kept"


def test_caught_mails_are_private(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "inbox")
    box.add("a@example.com", ["b@example.com"], b"Subject: x\r\n\r\n")
    modes = {mode(path) for path in (tmp_path / "inbox").rglob("*") if path.is_file()}
    assert (modes, mode(tmp_path / "inbox")) == ({0o600}, 0o700)


@pytest.mark.parametrize("name", [".env", "rejects", "preview.html", "mailshot.db"])
def test_the_doctor_tells_of_files_that_others_can_read(tmp_path: Path, name: str) -> None:
    init.create_project(tmp_path / "shop")
    path = tmp_path / "shop" / name
    if name == "rejects":
        path.mkdir(0o755)
    else:
        path.touch()
        path.chmod(0o644)
    with pytest.raises(Refused, match="can read") as refusal:
        private_files.check_private_files(load_settings(tmp_path / "shop"))
    assert "chmod go-rwx" in refusal.value.remedy
    path.chmod(0o700)
    assert private_files.check_private_files(load_settings(tmp_path / "shop"))


def test_the_doctor_tells_of_dkim_keys_that_others_can_read_or_version_control_would_take(tmp_path: Path) -> None:
    folder, keys = tmp_path / "shop", tmp_path / "shop" / "dkim"
    init.create_project(folder)
    keys.mkdir(0o700)
    path = keys / "m1._domainkey.shop.example.pem"
    path.touch()
    path.chmod(0o640)
    with pytest.raises(Refused, match=r"m1._domainkey.shop.example.pem"):
        private_files.check_private_files(load_settings(folder))
    path.chmod(0o600)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    assert private_files.check_private_files(load_settings(folder))
    lines = (folder / ".gitignore").read_text(encoding="utf-8").replace("dkim/\n", "")
    (folder / ".gitignore").write_text(lines, encoding="utf-8")
    with pytest.raises(Refused) as refusal:
        private_files.check_private_files(load_settings(folder))
    assert refusal.value.remedy.split()[-1] == "dkim/"
    (keys / ".gitignore").write_text("*\n", encoding="utf-8")
    assert private_files.check_private_files(load_settings(folder))


def test_the_doctor_tells_what_version_control_would_take(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    init.create_project(folder)
    (folder / ".gitignore").write_text(".env\n*.db*\ninbox/\nrejects/\n", encoding="utf-8")
    assert private_files.check_private_files(load_settings(folder))  # in no repository
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    with pytest.raises(Refused) as refusal:
        private_files.check_private_files(load_settings(folder))
    assert refusal.value.remedy.split() == ["Add", "to", f"{folder}/.gitignore:", "preview*.html", "preview*.png"]
