"""The worker of the Procfile: answers doorbells, renders and sends. Run: `python -m workers.send`."""

from mailshot.__main__ import run_command
from mailshot.cli import processes

if __name__ == "__main__":
    run_command(lambda: processes.worker(threads=1))
