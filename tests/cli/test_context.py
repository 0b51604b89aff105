from __future__ import annotations

import pytest
from rich.console import Console

from mailshot.cli import output
from tests.cli.test_campaigns import mailshot

NUMBERS = "as 'mailshot report' lists them."
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


@pytest.mark.parametrize(
    ("arguments", "message", "remedy"),
    [
        (
            "preview x --client mobile",
            "--client: 'mobile' is not one of desktop, phone, dark, plain.",
            "desktop, phone (375 pixels wide), dark (mode), or plain (the text part).",
        ),
        ("preview x --client Phon", "--client: 'Phon' is not one of", "Did you mean 'phone'?"),
        ("archive add x", "run: 'x' is not a whole number.", NUMBERS),
        ("archive remove 1.5", "run: '1.5' is not a whole number.", NUMBERS),
        ("resolve x accept", "run: 'x' is not a whole number.", NUMBERS),
        (
            "resolve 1 again",
            "how: 'again' is not one of accept, resend.",
            "accept (count as sent) or resend (may",
        ),
        ("report --run last", "--run: 'last' is not a whole number.", NUMBERS),
        ("rules explain x y --run z", "--run: 'z' is not a whole number.", NUMBERS),
        ("plan x --as-of may", "--as-of: 'may' is not a date.", "for example 2026-03-31 or 2026-03-31T09:00."),
        ("up --threads 99", "--threads: '99' is too large: at most 16.", "Runs processed at the same time."),
        ("up --threads 0", "--threads: '0' is too small: at least 1.", "Runs processed at the same time."),
        ("preview", "campaign is missing.", "campaign: The campaign's name."),
        ("preview x --png /", "--png: file '/' is a directory.", "Write a picture of the whole mail here."),
        ("preview x --client dark", "--client: 'dark' is only for pictures: add --png FILE.", ""),
        ("init /tmp/x --example florist", "--example: 'florist' is not one of", "example shop"),
    ],
)
def test_a_wrong_argument_is_told_with_the_valid_ones(arguments: str, message: str, remedy: str) -> None:
    code, printed = mailshot(*arguments.split())
    first, *more = printed.splitlines()
    assert (code, first.startswith(f"Error: {message}")) == (2, True), printed
    assert remedy in " ".join(more)
