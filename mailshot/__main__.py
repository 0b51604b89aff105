"""The way in from the shell: runs a command and turns errors into messages and exit codes."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable

from mailshot.errors import MailshotError

#: Objects that exist before the first garbage collection. `mailshot status` and `rules count` make 160,000 of them.
FIRST_COLLECTION = 200_000


def run_command(command: Callable[[], object]) -> None:
    """Run a command; exit with the error's own code (see mailshot.errors), 130 after Ctrl-C."""
    from mailshot.cli import context, output

    context.logs()
    try:
        command()
    except MailshotError as error:
        output.err.print("[red]Error:[/red]", end=" ")
        output.err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        output.err.print("Stopped.")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


def main() -> None:
    """Run the command line."""
    _postpone_collections()
    from mailshot.cli.main import cli

    run_command(cli)


def _postpone_collections() -> None:
    """Collect no garbage while starting, nor at exit: this took a quarter of the time of `mailshot status`.

    Nearly everything that imports make is never garbage. From the first collection on, Python's usual thresholds hold.
    """
    usual = gc.get_threshold()

    def restore(_phase: str, _info: dict[str, int]) -> None:
        gc.callbacks.remove(restore)
        gc.set_threshold(*usual)

    gc.callbacks.append(restore)
    gc.set_threshold(FIRST_COLLECTION, *usual[1:])
    # Python's last collection skips what is frozen. Stores do not depend on it: they close themselves at exit.
    atexit.register(gc.freeze)


if __name__ == "__main__":
    main()
