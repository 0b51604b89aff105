"""The web process of the Procfile: tracking, unsubscribing, preferences. Run: `python -m workers.web`."""

from mailshot.__main__ import run_command
from mailshot.cli import processes

if __name__ == "__main__":
    run_command(processes.web)
