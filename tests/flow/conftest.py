"""Owns the customer site in a test: `shop` has rows, `client` asks for pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from mailshot.store.engine import Store
from tests import shop


@pytest.fixture
def look(store: Store) -> shop.Look:
    shop.seed(store)
    return shop.Look(store)


@pytest.fixture
def client(look: shop.Look) -> Iterator[TestClient]:
    """Give a client of the customer site that keeps to one answer: no redirect is followed."""
    app = shop.site(look.store)
    headers = {"User-Agent": shop.BROWSER}
    with TestClient(app, "http://127.0.0.1", follow_redirects=False, headers=headers) as opened:
        yield opened
