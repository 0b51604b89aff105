"""Fixtures for imports: a small shop with its files, on an empty store."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailshot.store.engine import Store
from tests.support.import_shop import FILES, Shop


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    """Return a small shop with its files, on an empty store of each kind in turn."""
    folder = tmp_path / "shop"
    folder.mkdir()
    made = Shop(folder, store)
    made.put(FILES)
    return made
