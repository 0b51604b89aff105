"""Reading a project's templates takes little memory, whatever lies in its folder of shared files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailshot import errors
from mailshot.render import source


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    for folder in ("m", "_base/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "m/subject.txt").write_text("Hello")
    (tmp_path / "m/body.html").write_text("<p>x</p>")
    return tmp_path


def test_as_many_shared_files_as_allowed_are_read(templates: Path) -> None:
    for number in range(source.MAX_SHARED_FILES):
        (templates / f"_base/deep/{number}.html").write_text("x" * (source.LARGEST_SHARED // source.MAX_SHARED_FILES))
    assert len(source.read(templates, "m").files) == source.MAX_SHARED_FILES + 2


def test_too_many_shared_files_are_refused(templates: Path) -> None:
    for number in range(source.MAX_SHARED_FILES + 1):
        (templates / f"_base/deep/{number}.html").touch()
    with pytest.raises(errors.InvalidInput, match=r"_base: .*at most 200 files are read") as refusal:
        source.read(templates, "m")
    assert "Remove what no mail uses" in refusal.value.problems[0].remedy


def test_shared_files_that_are_too_large_together_are_refused(templates: Path) -> None:
    for number in range(9):
        (templates / f"_base/{number}.html").write_text("x" * source.LARGEST_FILE)
    with pytest.raises(errors.InvalidInput, match=r"_base: .*at most 2,000,000 bytes are read"):
        source.read(templates, "m")


@pytest.mark.parametrize("file", ["_base/a.html", "m/body.html"])
def test_a_nul_byte_is_refused_with_its_place(templates: Path, file: str) -> None:
    (templates / file).write_bytes(b"<p>\nx\0y")
    with pytest.raises(errors.InvalidInput, match="NUL byte") as refusal:
        source.read(templates, "m")
    assert (refusal.value.problems[0].line, refusal.value.problems[0].column) == (2, 2)
