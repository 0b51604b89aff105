"""Kills workers: no mail is lost or sent twice, and at most one per open connection is in doubt."""

from __future__ import annotations

import random
import signal

import pytest

from tests.crash.conftest import Lay
from tests.crash.siege import CONNECTIONS, Siege, Toll


def assert_kept(laid: Siege, toll: Toll, customers: int, in_doubt: int) -> None:
    """Check the promise of at_most_once."""
    assert toll.lost == toll.unknown == toll.twice == 0
    assert toll.unconfirmed <= in_doubt
    assert toll.states == {"sent": customers - toll.unconfirmed} | (
        {"unconfirmed": toll.unconfirmed} if toll.unconfirmed else {}
    )
    assert laid.sound()


def test_killed_workers_lose_and_repeat_nothing(lay: Lay, chance: random.Random) -> None:
    with lay(2000) as laid:
        laid.attack(4, chance)
        toll = laid.finish()
    print(toll, laid.kills)
    assert_kept(laid, toll, 2000, CONNECTIONS * laid.kills)


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_twenty_kills_in_twenty_thousand_mails(lay: Lay, chance: random.Random) -> None:
    with lay(20_000) as laid:
        laid.attack(20, chance)
        toll = laid.finish(600)
    print(toll, laid.kills)
    assert laid.kills == 20
    assert_kept(laid, toll, 20_000, CONNECTIONS * laid.kills)


def test_a_graceful_stop_leaves_nothing_in_doubt(lay: Lay, chance: random.Random) -> None:
    with lay(800) as laid:
        laid.attack(2, chance, signal.SIGTERM)
        toll = laid.finish()
    print(toll, laid.kills)
    assert_kept(laid, toll, 800, 0)
