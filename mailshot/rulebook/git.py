"""Reads files of a git revision through git's plumbing commands.

User input reaches git only as a revision to verify; after that, only hashes are passed. Paths are read NUL-terminated
and only compared, and contents are read by hash, so unusual file names are never interpreted.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailshot.errors import MailshotError, NotFound, Refused, Unavailable, nearest

SECONDS = 60
FILES = ("100644", "100755", "100664")
# In a git hook these variables point to another repository and folder.
MISLEADING = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE", "GIT_COMMON_DIR",
    "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a revision: its path below the folder asked for, and the hash and size (bytes) of its content."""

    path: str
    digest: str
    size: int
    plain: bool


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision as the user wrote it, with its commit."""

    folder: Path
    asked: str
    commit: str

    def __str__(self) -> str:
        return self.asked if self.commit.startswith(self.asked) else f"{self.asked} ({self.commit[:7]})"


def find_revision(folder: Path, asked: str) -> Revision:
    """Find a revision in the repository of a folder. Raises Unavailable, Refused or NotFound."""
    _git(folder, "rev-parse", "--git-dir")
    commit = _run(folder, ("rev-parse", "--verify", "--quiet", f"{asked}^{{commit}}")) if _fit(asked) else None
    if commit is None or commit.returncode:
        raise _unknown(folder, asked)
    return Revision(folder, asked, commit.stdout.decode().strip())


def list_entries(revision: Revision, below: str) -> list[TreeEntry]:
    """List the files of a revision under `below`, a folder in ours. Raises NotFound when it has none."""
    prefix = os.fsdecode(_git(revision.folder, "rev-parse", "--show-prefix").removesuffix(b"\n"))
    tree = _run(revision.folder, ("rev-parse", "--verify", "--quiet", f"{revision.commit}:{prefix}{below}"))
    if tree.returncode:
        message = f"{revision} has no folder {prefix}{below}."
        remedy = f"If it was never committed: git add {below} && git commit. If it had another name, compare folders."
        raise NotFound(message, remedy)
    digest = tree.stdout.decode().strip()
    if _git(revision.folder, "cat-file", "-t", digest).strip() != b"tree":
        raise Refused(f"{prefix}{below} is not a folder in {revision}.", "Links are not followed.")
    listed = _git(revision.folder, "ls-tree", "-r", "-z", "-l", "--full-tree", digest)
    return [_entry(line) for line in listed.split(b"\0") if line]


def read_blobs(folder: Path, digests: Iterable[str]) -> dict[str, bytes]:
    """Return contents by hash. Raises Unavailable for one that the repository does not hold."""
    wanted = list(dict.fromkeys(digests))
    output = _git(folder, "cat-file", "--batch", given="".join(f"{digest}\n" for digest in wanted).encode())
    blobs: dict[str, bytes] = {}
    for digest in wanted:
        head, _, rest = output.partition(b"\n")
        if not head.startswith(digest.encode() + b" blob "):
            raise Unavailable(f"git does not have {digest[:12]} ({head.decode(errors='replace')}).", "Run: git fetch.")
        size = int(head.rpartition(b" ")[2])
        blobs[digest], output = rest[:size], rest[size + 1 :]
    return blobs


def _entry(line: bytes) -> TreeEntry:
    about, _, path = line.partition(b"\t")
    mode, _, digest, size = about.split()
    return TreeEntry(_legible(path), digest.decode(), int(size) if size.isdigit() else 0, mode.decode() in FILES)


def _legible(path: bytes) -> str:
    """Return a path without terminal control characters; harmless paths are unchanged."""
    name = path.decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in name)


def _fit(asked: str) -> bool:
    """Return whether the text can be a revision: not an option, a range or a pattern."""
    return bool(asked) and not asked.startswith("-") and ".." not in asked and asked.isprintable()


def _unknown(folder: Path, asked: str) -> MailshotError:
    if _run(folder, ("rev-parse", "--verify", "--quiet", "HEAD")).returncode:
        return Refused("The repository has no commit yet.", "Commit the rules first: git add rules && git commit.")
    if ".." in asked:
        return NotFound(
            f"'{asked}' is a range of revisions.", "Name the two revisions: mailshot rules diff BEFORE AFTER."
        )
    names = _git(folder, "for-each-ref", "--format=%(refname:short)").decode(errors="replace").splitlines()
    shallow = _git(folder, "rev-parse", "--is-shallow-repository").strip() == b"true"
    hint = "The repository is a shallow copy; more of it: git fetch --unshallow." if shallow else ""
    return NotFound(f"There is no revision or folder '{asked}'.", hint or nearest(asked, ["HEAD", *names]))


def _git(folder: Path, *words: str, given: bytes = b"") -> bytes:
    done = _run(folder, words, given)
    if done.returncode:
        error = done.stderr.decode(errors="replace").strip()
        if "not a git repository" in error:
            message = f"{folder.resolve()} is not in a git repository."
            raise Refused(message, "Create one (git init), or name two folders: mailshot rules diff BEFORE AFTER.")
        raise Unavailable(f"git {words[0]} failed: {error.removeprefix('fatal: ')}", "Try 'git status' there.")
    return done.stdout


def _run(folder: Path, words: Sequence[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    surroundings = {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *words]
    try:
        return subprocess.run(command, input=given, env=surroundings, capture_output=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise Unavailable("git is not installed.", "Install it, or compare two folders.") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"git {words[0]} did not end within {SECONDS} seconds.", "Try 'git status' there.") from None
