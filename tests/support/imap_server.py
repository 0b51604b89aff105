"""A real IMAP server (Dovecot) on a port of its own; without one, tests are skipped with a warning, and fail on CI."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import customer_site

USER, PASSWORD = "mailshot", "secret"


@dataclass(frozen=True)
class ImapServer:
    """A running server with one account."""

    port: int
    user: str = USER
    password: str = PASSWORD

    @property
    def url(self) -> str:
        return f"imap://{self.user}:{self.password}@127.0.0.1:{self.port}"


@contextmanager
def imap_server() -> Iterator[ImapServer]:
    """Run Dovecot on a port and a folder of its own."""
    program = shutil.which("dovecot", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("No Dovecot found; CI must have one.")
        pytest.skip("NO DOVECOT FOUND: no mail was fetched by IMAP")
    server = ImapServer(customer_site.free_port())
    # Not among the other temporary files: where root runs the tests, Dovecot reads mail as another user.
    folder = Path(tempfile.mkdtemp(prefix="mailshot-imap-", dir="/tmp"))
    folder.chmod(0o755)
    home = folder / "home"
    home.mkdir()
    os.chown(home, *_owner())
    (folder / "dovecot.conf").write_text(_settings(folder, home, server.port))
    process = subprocess.Popen([program, "-F", "-c", str(folder / "dovecot.conf")])
    try:
        _wait(server.port, process)
        yield server
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> tuple[int, int]:
    """Return the user and group of the mail: our own, and for root, which owns no mail, those of `nobody`."""
    nobody = pwd.getpwnam("nobody")
    return (os.getuid(), os.getgid()) if os.getuid() else (nobody.pw_uid, nobody.pw_gid)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"Dovecot ended with {process.returncode}")


def _settings(folder: Path, home: Path, port: int) -> str:
    # Root may not log customers in; the package made users for that.
    me, (uid, gid) = getpass.getuser(), _owner()
    own = f"default_internal_user = {me}\ndefault_login_user = {me}\n" if os.getuid() else ""
    return f"""
protocols = imap
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
{own}first_valid_uid = 1
first_valid_gid = 1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{home}/Maildir
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""
