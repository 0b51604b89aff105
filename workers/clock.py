"""The clock of the Procfile: launches what is due and rings for runs with due mail. Run: `python -m workers.clock`."""

from mailshot.__main__ import run_command
from mailshot.cli import processes

if __name__ == "__main__":
    run_command(processes.clock)
