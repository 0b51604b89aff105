"""Whole runs through the store, the renderer and a real SMTP server, in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mailshot.bootstrap import App
from mailshot.deliver import work
from mailshot.store import ledger
from tests.processes import Sink
from tests.project import Shop


def counts(shop: Shop, run_id: int) -> dict[str, int]:
    with shop.store.read() as connection:
        return ledger.counts(connection, run_id)


def test_all_are_sent_once(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    run_id = shop.launch()
    assert not work.answer(app().post, run_id, 2000, threading.Event())
    assert counts(shop, run_id) == {"sent": 60}
    assert len(sink.entries()) == 60
    assert not sink.twice()
