"""Fixtures for all tests: databases, the customer site, and a shop with an SMTP server and the parts of one process.

`store` is a fresh, upgraded database: once on SQLite, once on PostgreSQL.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mailshot.bootstrap import App
from mailshot.settings import Settings
from mailshot.store.engine import Store
from tests.support import customer_site, processes, project, servers
from tests.support.processes import Sink
from tests.support.project import Shop

# A shell ignores Ctrl-C in what it runs in the background, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an upgraded SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "mailshot.db"
    servers.upgraded(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with servers.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """Give the name of an upgraded PostgreSQL database to copy."""
    with servers.database(postgres_server) as url:
        yield servers.name_of(servers.upgraded(url))


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Return the address of a fresh SQLite database."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'mailshot.db')}"


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """Give the address of a fresh PostgreSQL database."""
    with servers.database(postgres_server, postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Return the address of a fresh, upgraded database, on each kind in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Give an open store on a fresh, upgraded database, on each kind in turn."""
    opened = Store.open(store_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """Give an open store on a fresh SQLite database."""
    opened = Store.open(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[Store]:
    """Give an open store on a fresh PostgreSQL database."""
    opened = Store.open(postgres_url)
    yield opened
    opened.close()


@pytest.fixture
def look(store: Store) -> customer_site.Look:
    customer_site.seed(store)
    return customer_site.Look(store)


@pytest.fixture
def client(look: customer_site.Look) -> Iterator[TestClient]:
    """Give a client of the customer site that keeps to one answer: no redirect is followed."""
    app = customer_site.site(look.store)
    headers = {"User-Agent": customer_site.BROWSER}
    with TestClient(app, "http://127.0.0.1", follow_redirects=False, headers=headers) as opened:
        yield opened


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    with processes.sink(tmp_path, "--whole") as running:
        yield running


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop.open(store, tmp_path / "shop", 60)


@pytest.fixture
def app(shop: Shop, sink: Sink) -> Callable[..., App]:
    """Return a maker of an app for the shop that hands over to the sink."""

    def make(**options: object) -> App:
        values = {"smtp": sink.url, "keys": project.KEYS, "address_key": project.ADDRESS_KEY, "connections": 4}
        return App(Settings(project=shop.folder, **{**values, **options}), shop.store)  # type: ignore[arg-type]

    return make
