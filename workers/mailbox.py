"""The mailbox of the Procfile: receives bounces, complaints and replies. Run: `python -m workers.mailbox`."""

from mailshot.__main__ import run_command
from mailshot.cli import processes

if __name__ == "__main__":
    run_command(processes.receive)
