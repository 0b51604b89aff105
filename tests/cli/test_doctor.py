from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from mailshot.cli import doctor
from mailshot.store import erasures, scrubbing
from mailshot.store.engine import Store
from tests.cli.test_errors import tried
from tests.support import processes
from tests.support.project import ADDRESS_KEY, KEYS, Shop

PASSWORD = "open-sesame"


def test_no_password_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with processes.own_redis() as server:
        Redis.from_url(server.url).config_set("requirepass", PASSWORD)
        settings = {
            "PROJECT": str(tmp_path),
            "KEYS": KEYS,
            "ADDRESS_KEY": ADDRESS_KEY,
            "REDIS": f"redis://:{PASSWORD}@{urlsplit(server.url).netloc}/0",
            "DATABASE": f"postgresql://ann:{PASSWORD}@127.0.0.1:1/none",
            "SMTP": f"smtp://ann:{PASSWORD}@127.0.0.1:1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(f"MAILSHOT_{name}", value)
        checks = {name: doctor._look(name, look) for name, look in doctor._LOOKS.items()}
    assert checks["queue"] == ("queue", True, "Redis on 127.0.0.1 is reachable")
    assert not checks["database"][1]
    assert PASSWORD not in str(checks)


def test_erasures_that_wait_are_told(store: Store, tmp_path: Path) -> None:
    shop = Shop.open(store, tmp_path / "shop")

    def state() -> tuple[bool, str]:
        [part] = [part for part in json.loads(tried(shop, "doctor", "--json")[1]) if part["part"] == "erasures"]
        return part["sound"], part["says"]

    assert state() == (True, "no erasure is pending")
    for since, sound in ((timedelta(hours=1), True), (timedelta(hours=25), False)):
        with store.write() as connection:
            erasures.record_erasure(connection, 1 + sound, datetime.now(UTC) - since)
        assert state()[0] is sound
        assert "pending, the oldest since" in state()[1]
    assert json.loads(tried(shop, "status", "--json")[1])["erasures_waiting"]["number"] == 2
    assert "2 erasures not yet removed" in tried(shop, "status")[1]
    assert scrubbing.work(store, datetime.now(UTC)) == 2
    assert state()[0]
    (shop.folder / "rejects").mkdir()
    (shop.folder / "rejects" / "shop-customers-1.csv").write_text("id\n")
    assert "check rejects/ (1 file)" in state()[1]
