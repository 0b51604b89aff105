"""Rounds of the ledger writer that fail, or whose commit is in doubt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mailshot.deliver import ledger_writer
from mailshot.deliver.ledger_writer import LedgerWriter
from mailshot.errors import Unavailable
from mailshot.states import DeliveryState
from mailshot.store import worker_ledger
from mailshot.store.engine import Connection, Store
from mailshot.store.worker_ledger import Claimed, Settled
from tests.support.ledger_rows import GATES, LEASE, begin, customers, head, states


class LostReplies:
    """Lets the next `number` writes of a store reach the disk, and then fail as if the reply had been lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        write = Store.write

        @contextmanager
        def write_and_fail(store: Store) -> Iterator[Connection]:
            with write(store) as connection:
                yield connection
            if self.number:
                self.number -= 1
                raise Unavailable("The reply was lost.")

        monkeypatch.setattr(Store, "write", write_and_fail)
        monkeypatch.setattr(ledger_writer, "RETRY_SECONDS", 0.01)


def test_an_intent_whose_commit_is_in_doubt_is_taken_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    replies = LostReplies(monkeypatch)

    async def lose_the_reply_to_the_intent() -> tuple[bool, dict[int, str]]:
        writer = LedgerWriter(store, head(store, run_id), GATES, 7, LEASE)
        await writer.claim(1)
        replies.number = 1
        allowed = await writer.commit_intent(ann, 0, [])
        between = states(store, run_id)
        await writer.close()
        return allowed, between

    assert asyncio.run(lose_the_reply_to_the_intent()) == (False, {ann: "dotting"})
    assert states(store, run_id) == {ann: "pending"}, "no dot was sent, so the mail is not in doubt"


def test_an_outcome_is_written_as_soon_as_the_ledger_answers_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    replies = LostReplies(monkeypatch)

    async def settle_while_the_ledger_is_down() -> bool:
        writer = LedgerWriter(store, head(store, run_id), GATES, 7, LEASE)
        await writer.claim(1)
        assert await writer.commit_intent(ann, 0, [])
        replies.number = 3
        writer.settle(Settled(ann, DeliveryState.sent, "250 ok"))
        await writer.close()
        return writer.broken

    assert asyncio.run(settle_while_the_ledger_is_down())
    assert states(store, run_id) == {ann: "sent"}


def test_a_claim_that_commits_after_its_caller_was_cancelled_is_given_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, *_ = customers(store, 1)
    run_id = begin(store, [ann])
    begun, may_end = threading.Event(), threading.Event()
    claim = worker_ledger.claim

    def slow_claim(*arguments: Any) -> list[Claimed]:
        rows = claim(*arguments)
        begun.set()
        may_end.wait(60)
        return rows

    monkeypatch.setattr(worker_ledger, "claim", slow_claim)

    async def stop_during_the_claim() -> None:
        writer = LedgerWriter(store, head(store, run_id), GATES, 7, LEASE)
        claiming = asyncio.create_task(writer.claim(1))
        await asyncio.to_thread(begun.wait, 60)
        claiming.cancel()
        closing = asyncio.create_task(writer.close())
        await asyncio.sleep(0.1)
        may_end.set()
        await closing

    asyncio.run(stop_during_the_claim())
    assert states(store, run_id) == {ann: "pending"}
