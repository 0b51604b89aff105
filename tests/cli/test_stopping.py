"""Stopping by signals, however close together they come."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from mailshot.cli.signals import stopping


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_a_signal_that_comes_while_the_event_is_set_does_not_hang() -> None:
    with stopping() as stop:
        # What a thread holds while it sets or awaits the event, at the moment a second signal arrives.
        with stop._cond:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        assert stop.wait(30)


def test_a_second_ctrl_c_ends_at_once() -> None:
    with stopping() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(30)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
