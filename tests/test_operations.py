"""Checks what launching and resuming do around the stages: the SMTP server is checked first, the workers are woken."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import redis

from mailshot import operations
from mailshot.bootstrap import App
from mailshot.campaign import plan, snapshot
from mailshot.campaign.launch import LaunchOptions
from mailshot.doorbell import QUEUE
from mailshot.errors import Unavailable
from mailshot.states import RunState
from mailshot.store import runs
from tests.deliver.test_pipeline import Apps
from tests.support import processes
from tests.support.project import Shop


def launch(app: App, shop: Shop) -> int | None:
    edition, now = shop.campaign(), datetime.now(UTC)
    plan.make_plan(shop.store, edition, snapshot.as_of(edition, None, now), now)
    return operations.launch_campaign(app, edition, None, LaunchOptions()).run_id


def test_nothing_is_launched_without_an_smtp_server(shop: Shop, app: Apps) -> None:
    with pytest.raises(Unavailable, match="SMTP"):
        launch(app(smtp=f"smtp://127.0.0.1:{processes.free_port()}"), shop)
    with shop.store.read() as connection:
        assert runs.runs_in(connection) == []


def test_a_launch_and_a_resumption_ring_once(shop: Shop, app: Apps) -> None:
    with processes.own_redis() as server:
        scale_out, queue = app(redis=server.url), redis.Redis.from_url(server.url)
        assert launch(scale_out, shop) is not None
        assert queue.llen(f"dramatiq:{QUEUE}") == 1
        for state, rings in ((RunState.paused, 1), (RunState.running, 2), (RunState.cancelled, 2)):
            operations.set_campaign_state(scale_out, "hello", state, ["hello"])
            assert queue.llen(f"dramatiq:{QUEUE}") == rings


def test_embedded_nothing_is_queued(shop: Shop, app: Apps) -> None:
    embedded = app()
    assert launch(embedded, shop) is not None
    assert "doorbell" not in vars(embedded)
