"""Owns the way in from the shell: runs a command and turns errors into words and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable

from mailshot.errors import MailshotError


def run(command: Callable[[], object]) -> None:
    """Run a command; exit with the error's own code (see mailshot.errors), 130 after Ctrl-C."""
    from mailshot.cli import context

    context.logs()
    try:
        command()
    except MailshotError as error:
        context.err.print("[red]Error:[/red]", end=" ")
        context.err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        context.err.print("Stopped.")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


def main() -> None:
    """Run the command line."""
    from mailshot.cli.main import cli

    run(cli)


if __name__ == "__main__":
    main()
