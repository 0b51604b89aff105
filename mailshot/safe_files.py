"""Opens the files of a project so that no link leads out of its folder, and writes files that only their owner reads.

Templates and rules come from people who need not hold the project's keys: by version control, or a shared folder. A
link among them must not put `.env` or `/proc/self/environ` into a mail or an error, and a FIFO must not stop a worker.
So a path is resolved first and must lie in its folder; then it is walked from there by directory descriptors,
following no link, so that a link put in its place meanwhile is refused as well. What is open is looked at last: only
a regular file is read, and only if its size is allowed.

Errors are OSErrors whose `strerror` says in words what is wrong. None names where a link leads.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
# Without them (Windows) a path is still resolved and its file still looked at.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0)
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_BY_DESCRIPTOR = os.open in os.supports_dir_fd


class UnsafeFile(OSError):
    """A file that is not read; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(None, message)
        self.strerror = message
        self.remedy = remedy


class TooLarge(UnsafeFile):
    """A file of `size` bytes, which is more than its reader takes."""

    def __init__(self, size: int, most: int) -> None:
        super().__init__(f"it has {size:,} bytes; at most {most:,} are read", "Shorten it.")
        self.size = size


def open_file(path: Path, within: Path | None = None) -> BinaryIO:
    """Open a regular file for reading that lies in the folder `within` (None: its own folder) once links are resolved.

    The folder itself may be a link. Raises UnsafeFile, or OSError when the file is not there.
    """
    descriptor = _descriptor(path, path.parent if within is None else within)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _no_file()
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, within: Path | None = None, *, most: int) -> bytes:
    """Return the content of a regular file in the folder `within`, of at most `most` bytes. Raises as `open_file`."""
    with open_file(path, within) as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > most else file.read(most + 1)
    if size > most or len(content) > most:
        raise TooLarge(max(size, len(content)), most)
    return content


def is_inside(path: Path, within: Path) -> bool:
    """Return whether a path lies in a folder once links are resolved."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(within))


def write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, as a whole and in place of a former one or of a link."""
    with replacing(path) as beside:
        beside.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new, empty, private file beside `path` to be written, and move it there if all goes well."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    create_private(beside)
    try:
        yield beside
        os.replace(beside, path)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def create_private(path: Path) -> None:
    """Create an empty file that its owner alone can read, whatever the umask. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, PRIVATE_FILE)
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, PRIVATE_FILE)
    finally:
        os.close(descriptor)


def write_shared(path: Path, content: bytes) -> None:
    """Write a file that others may read, in place of a former one or of a link, never through a link."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(beside, path)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def write_output(path: Path, content: bytes, private: bool = False) -> None:
    """Write the file that a command was asked for: in place of a former one or a link; a pipe or device gets it."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
    elif private:
        write_private(path, content)
    else:
        write_shared(path, content)


def make_private_folder(path: Path) -> None:
    """Create a folder that its owner alone can enter, whatever the umask; one that is there is left as it is."""
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(PRIVATE_FOLDER)
        path.chmod(PRIVATE_FOLDER)


def _descriptor(path: Path, within: Path) -> int:
    root, real = Path(os.path.realpath(within)), Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        raise _leads_out(root)
    if real == root:
        raise _no_file()
    if not _BY_DESCRIPTOR:
        _refuse_what_waits(os.lstat(real))
        return os.open(real, _READ)
    return _walk(root, real.relative_to(root).parts)


def _walk(root: Path, parts: tuple[str, ...]) -> int:
    """Return the descriptor of a file below `root`, reached without following any link."""
    folder = os.open(root, _READ | _FOLDER)
    try:
        for part in parts[:-1]:
            below = os.open(part, _READ | _FOLDER | _NO_LINK, dir_fd=folder)
            os.close(folder)
            folder = below
        # Looked at before it is opened, because opening a device can do something.
        status = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            raise _leads_out(root)
        _refuse_what_waits(status)
        return os.open(parts[-1], _READ | _NO_LINK | _NO_WAIT, dir_fd=folder)
    finally:
        os.close(folder)


def _refuse_what_waits(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _no_file()


def _leads_out(root: Path) -> UnsafeFile:
    return UnsafeFile(
        f"a link leads from here out of the folder {root.name}, and is not followed",
        "Put a copy of the file there instead of the link.",
    )


def _no_file() -> UnsafeFile:
    return UnsafeFile("it is not a regular file", "Put a file in its place.")
