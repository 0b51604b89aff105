"""What commands print: texts, tables and next steps for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mailshot import safe_files
from mailshot.errors import Unavailable

out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)


def print_text(text: str = "") -> None:
    out.print(text)


def printable(text: object) -> str:
    """Make foreign words (a name, a subject, an address) fit to be said: no markup, no control of the terminal."""
    return escape("".join(letter if letter.isprintable() else " " for letter in str(text)))


def count_noun(number: int, noun: str) -> str:
    """Return '1 mail', or '2,000 mails'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def print_problem(label: str, color: str, problem: object) -> None:
    """Print a warning or an error. Its lines are not wrapped, so that a caret stays below its column."""
    text = "\n".join(printable(line) for line in str(problem).split("\n"))
    out.print(f"[{color}]{label}:[/{color}] {text}", soft_wrap=True)


def print_next_step(text: str) -> None:
    """Say what to do next."""
    out.print(f"[dim]Next:[/dim] {escape(text)}", soft_wrap=True)  # a command is copied in one piece


def print_line(text: str) -> None:
    """Print foreign text on one line, in one piece."""
    out.print(printable(text), soft_wrap=True)


def print_url(url: str) -> None:
    """Print an address on its own line, in one piece."""
    out.print(f"  {escape(url)}", soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON document and nothing else."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    right: Sequence[int] = (),
    whole: Sequence[int] = (),
) -> None:
    """Print a table; `right` are the columns of numbers, `whole` others that never break, such as dates."""
    table = Table(
        title=escape(title) or None,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
    )
    for number, name in enumerate(columns):
        # Only words may go over several lines: a number or its heading never breaks.
        fixed = number in right or number in whole
        table.add_column(name, justify="right" if number in right else "left", no_wrap=fixed, overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else printable(cell) for cell in row))
    out.print(table)


def print_counts(title: str, numbers: Mapping[str, int], what: str, help: Mapping[str, str] | None = None) -> None:
    """Print numbers by name."""
    rows = [(name, number, (help or {}).get(name, "")) for name, number in numbers.items()]
    print_table(title, (what, "customers", ""), rows, right=(1,))


def format_bytes(number: int) -> str:
    """Format a number of bytes: `212 KB`, `1.4 MB`."""
    if number < 1_000_000:
        return f"{-(-number // 1000):,} KB"
    return f"{number / 1e6:,.1f} MB" if number < 1e9 else f"{number / 1e9:,.1f} GB"


def write_private(path: Path, content: bytes, option: str = "--to") -> None:
    """Write personal data to a file that only its owner can read. Raises Unavailable."""
    try:
        safe_files.write_output(path, content, private=True)
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be written: {error.strerror}.", f"Choose another file with {option}."
        ) from None
