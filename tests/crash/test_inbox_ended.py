"""Ends the inbox in several ways: no received mail is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from smtplib import SMTP

import httpx

from tests.support import customer_site

SERVE = """
import pathlib
import sys
from mailshot import inbox
inbox.Inbox(int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])).serve()
"""


def started(smtp: int, web: int, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SERVE, str(smtp), str(web), str(folder)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()})
    for _ in range(300):
        try:
            httpx.get(f"http://127.0.0.1:{web}/api/mails").raise_for_status()
            return process
        except httpx.HTTPError:
            assert process.poll() is None
            time.sleep(0.1)
    process.kill()
    raise AssertionError("the inbox did not start")


def test_received_mails_survive_any_end(tmp_path: Path) -> None:
    smtp, web = customer_site.free_port(), customer_site.free_port()
    for number, end in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGTERM)):
        process = started(smtp, web, tmp_path)
        try:
            with SMTP("127.0.0.1", smtp) as connection:
                connection.sendmail("a@example.com", ["b@example.com"], f"Subject: Mail {number}\r\n\r\nx")
            mails = httpx.get(f"http://127.0.0.1:{web}/api/mails").json()["mails"]
            assert [mail["subject"] for mail in mails] == [f"Mail {n}" for n in range(number + 1)]
        finally:
            process.send_signal(end)
            process.wait()
        assert process.returncode in (-end, 0)
