from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from mailshot.cli import doctor
from tests import processes
from tests.project import ADDRESS_KEY, KEYS

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
        found = {name: doctor._look(name, look) for name, look in doctor._LOOKS.items()}
    assert found["queue"] == ("queue", True, "Redis on 127.0.0.1 answers")
    assert not found["database"][1]
    assert PASSWORD not in str(found)
