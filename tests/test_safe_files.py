"""Checks that files are read only where they belong, and that private ones are for their owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailshot import safe_files
from mailshot.safe_files import TooLarge, UnsafeFile

CANARY = "MAILSHOT_KEYS=1:canary"
MAX = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".env").write_text(CANARY)
    (tmp_path / "rules/below").mkdir(parents=True)
    (tmp_path / "rules/a.yaml").write_text("a")
    return tmp_path / "rules"


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def read(path: Path, within: Path) -> bytes:
    return safe_files.read_bytes(path, within, most=MAX)


def test_a_link_that_leads_out_is_not_followed(folder: Path) -> None:
    for name, target in (("b", "../.env"), ("below/c", "../../.env"), ("d", "/proc/self/environ"), ("e", "e")):
        (folder / name).symlink_to(target)
        with pytest.raises(UnsafeFile) as refused:
            read(folder / name, folder)
        assert "link" in refused.value.strerror
        assert target not in str(refused.value) or target == name
    (folder / "out").symlink_to("..")
    with pytest.raises(UnsafeFile):
        read(folder / "out/.env", folder)


def test_links_inside_and_a_folder_that_is_a_link_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "b").symlink_to("a.yaml")
    (folder / "near").symlink_to("below")
    (folder / "below/c").write_text("c")
    (tmp_path / "linked").symlink_to("rules")
    assert read(folder / "b", folder) == b"a"
    assert read(tmp_path / "linked/a.yaml", tmp_path / "linked") == b"a"
    assert read(tmp_path / "linked/near/c", tmp_path / "linked") == b"c"


def test_what_is_no_file_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "null").symlink_to("/dev/null")
    for name in ("fifo", "below", "null", "."):
        with pytest.raises(UnsafeFile):
            read(folder / name, folder)
    with pytest.raises(UnsafeFile, match="regular"):
        safe_files.open_file(Path("/dev/zero"))


def test_size_is_looked_at_before_reading(folder: Path) -> None:
    with (folder / "big").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TooLarge) as refused:
        read(folder / "big", folder)
    assert refused.value.size == 1 << 40


@pytest.mark.parametrize("part", ["file", "folder"])
def test_a_link_put_in_its_place_after_the_check_gains_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    (folder / "below/a").write_text("a")
    real = os.path.realpath(folder / "below/a")

    def swap(path: str | Path) -> str:
        """Resolve as the system did, then swap what was resolved."""
        if Path(path) == folder / "below/a":
            (folder / "below/a").unlink()
            if part == "file":
                (folder / "below/a").symlink_to("../../.env")
            else:
                (folder / "below").rmdir()
                (folder.parent / "a").write_text(CANARY)
                (folder / "below").symlink_to("..")
        return real if Path(path) == folder / "below/a" else str(path)

    monkeypatch.setattr(os.path, "realpath", swap)
    with pytest.raises(OSError) as refused:  # noqa: PT011
        read(folder / "below/a", folder)
    assert "canary" not in str(refused.value)


def test_private_files_are_private_whatever_the_umask(tmp_path: Path, wide_umask: None) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to("target")
    safe_files.write_private(tmp_path / "link", b"new")
    safe_files.make_private_folder(tmp_path / "folder")
    safe_files.write_shared(tmp_path / "shared", b"new")
    assert (tmp_path / "target").read_text() == "kept"
    assert not (tmp_path / "link").is_symlink()
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("link", "folder", "shared")}
    assert modes == {"link": 0o600, "folder": 0o700, "shared": 0o666}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "shared", "target"]
