from __future__ import annotations

import pytest
from rich.console import Console

from mailshot.cli import output

FOREIGN = [
    "Bob [/bold]",
    "[red]Ann",
    "a\\[b]",
    "[link=https://e.example]x[/link]",
    "\x1b]0;owned\x07\x1b[31m",
    "a\nb\rc",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_foreign_words_are_said_and_never_obeyed(text: str) -> None:
    console = Console(highlight=False, force_terminal=True, color_system="truecolor", width=200)
    with console.capture() as capture:
        console.print(f"Subject: {output.printable(text)}", end="")
    assert capture.get() == "Subject: " + "".join(letter if letter >= " " else " " for letter in text)
