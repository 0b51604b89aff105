"""Owns the fixtures of flows: the customer site with a client, and a shop with a sink and the parts of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mailshot.bootstrap import App
from mailshot.settings import Settings
from mailshot.store.engine import Store
from tests.support import customer_site as customers
from tests.support import processes, project
from tests.support.processes import Sink
from tests.support.project import Shop


@pytest.fixture
def look(store: Store) -> customers.Look:
    customers.seed(store)
    return customers.Look(store)


@pytest.fixture
def client(look: customers.Look) -> Iterator[TestClient]:
    """Give a client of the customer site that keeps to one answer: no redirect is followed."""
    app = customers.site(look.store)
    headers = {"User-Agent": customers.BROWSER}
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

    def make(**given: object) -> App:
        values = {"smtp": sink.url, "keys": project.KEYS, "address_key": project.ADDRESS_KEY, "connections": 4}
        return App(Settings(project=shop.folder, **{**values, **given}), shop.store)  # type: ignore[arg-type]

    return make
