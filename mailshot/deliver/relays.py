"""Shares the connections of a batch out among its sender's relays, and remembers how each relay has done.

A sender without relays has one: MAILSHOT_SMTP. What a process learns of a relay outlives a batch:

- A relay that cannot be connected to is not used for a while, and the others take its places. Then one connection
  tries it, and the others follow when it has answered.
- A relay that objects to the sender (421, 4.7.x) is paused for a moment and gets half the connections; for each
  `GROW_AFTER` accepted mails it gets one more (additive increase, multiplicative decrease).

A *place* is the right to one connection. Start at `Relays.share_out`.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from mailshot.deliver.rate_limit import RateLimiter
from mailshot.deliver.smtp import Server

#: The first and the longest time for which a relay that cannot be connected to is not used, before jitter.
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 1.0, 30.0
#: The same for a relay that objects to the sender.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
#: Accepted mails after which a relay that was slowed down gets one more connection.
GROW_AFTER = 50
#: Between two looks at what has changed: a pause that is over, or places that another batch has given back.
CHECK_SECONDS = 0.5


class RelayRecord:
    """What this process knows of one relay. Several threads may send through it; times are those of `monotonic`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.down_until = self.paused_until = 0.0
        #: Failures in a row: while there are some, only one connection tries it.
        self.failures = 0
        self._pauses = 0
        #: Batches that use it, and their places.
        self.batches = self.places = 0
        #: The most places after objections, None for no such limit; accepted mails since it last changed.
        self.most: int | None = None
        self._grown = 0

    def add(self, batches: int = 0, places: int = 0) -> None:
        """Count batches and places, or give them back."""
        with self._lock:
            self.batches += batches
            self.places += places

    def fail(self, now: float) -> None:
        """Do not use it for a while."""
        with self._lock:
            if now >= self.down_until:  # else several connections have found out the same
                self.failures += 1
                self.down_until = now + _delay(FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, self.failures)

    def slow_down(self, now: float) -> None:
        """Halve its connections and pause it for a moment."""
        with self._lock:
            if now >= self.paused_until:  # else it has just been slowed down
                self._pauses += 1
                self.most, self._grown = max(min(self.places, self.most or self.places) // 2, 1), 0
                self.paused_until = now + _delay(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, self._pauses)

    def limit(self, connections: int) -> None:
        """Note that it takes only so many connections."""
        with self._lock:
            self.most, self._grown = max(connections, 1), 0

    def answer(self, accepted: bool) -> bool:
        """Note that it has answered a mail without objections; return whether it may have more connections now."""
        with self._lock:
            changed, self.failures = self.failures > 0, 0
            if accepted:
                self._pauses = 0
                self._grown += 1
                if self.most is not None and self._grown >= GROW_AFTER:
                    self.most, self._grown, changed = self.most + 1, 0, True
            return changed

    def room(self, limit: int, shared: bool, own: int, now: float) -> int:
        """Return how many places a batch may have that has `own` ones already.

        `limit` is that of all batches together if it is `shared`, else that of each.
        """
        if not self.is_usable(now):
            return 0
        with self._lock:
            batches = max(self.batches, 1)
            total = limit if shared else limit * batches
            if self.most is not None and self.most >= total:
                self.most = None
            total = 1 if self.failures else min(total, self.most or total)
            return max(min(-(-total // batches), total - (self.places - own)), 0)

    def is_usable(self, now: float) -> bool:
        """Return whether it is neither down nor paused."""
        return now >= max(self.down_until, self.paused_until)


_records: dict[tuple[str, str], RelayRecord] = {}


def record_of(server: Server) -> RelayRecord:
    """Return what this process knows of a relay."""
    return _records.setdefault((server.setting, str(server)), RelayRecord())


def count_unusable() -> int:
    """Return how many relays that this process has used are down or paused."""
    now = time.monotonic()
    return sum(not record.is_usable(now) for record in list(_records.values()))


def _delay(first: float, longest: float, times: int) -> float:
    """Return the wait after so many failures: doubled each time, and different for each worker."""
    return float(min(first * 2.0 ** min(times - 1, 16), longest) * random.uniform(0.5, 1.0))


@dataclass(slots=True, eq=False)
class Relay:
    """One relay of a batch."""

    #: None: MAILSHOT_SMTP.
    name: str | None
    server: Server
    #: The most connections: of all batches of this process together if `shared`, else of each.
    limit: int
    limiter: RateLimiter
    shared: bool = False
    weight: int = 1
    spare: bool = False
    #: Places that the batch has, and those that it should have.
    places: int = 0
    target: int = 0
    #: Open connections of the batch.
    connections: int = 0
    #: Replies in a row that objected to the sender.
    faults: int = 0
    record: RelayRecord = field(init=False)

    def __post_init__(self) -> None:
        self.record = record_of(self.server)

    def room(self, now: float) -> int:
        """Return how many places the batch may have here."""
        return self.record.room(self.limit, self.shared, self.places, now)


class Relays:
    """The relays of one batch, which may use `places` connections in total."""

    def __init__(self, relays: Sequence[Relay], places: int) -> None:
        self.all = tuple(relays)
        self._by_name = {relay.name: relay for relay in relays}
        self._places = places
        self._changed = asyncio.Event()
        self._ended = False
        #: With MAILSHOT_SMTP alone there is nothing to check, so no mail reads the clock.
        self._check_at = 0.0 if self.usable_names is not None else float("inf")
        for relay in relays:
            relay.record.add(batches=1)
        if not self.any_works:  # the batch is an attempt to use the one that is due first
            min(relays, key=lambda relay: relay.record.down_until).record.down_until = 0.0
        self.share_out()

    @property
    def several(self) -> bool:
        """Whether a mail may be sent through another relay when one fails."""
        return len(self.all) > 1

    @property
    def connections(self) -> int:
        """How many connections of the batch are open."""
        return sum(relay.connections for relay in self.all)

    @property
    def any_works(self) -> bool:
        """Whether a relay is not down."""
        return bool(self._working(time.monotonic()))

    @property
    def usable_names(self) -> list[str] | None:
        """The names of those that are neither down nor paused; None for MAILSHOT_SMTP.

        Of rows that only one relay may send, a worker claims only theirs.
        """
        now = time.monotonic()
        usable = [relay.name for relay in self.all if relay.name and relay.record.is_usable(now)]
        return usable if any(relay.name for relay in self.all) else None

    def share_out(self) -> None:
        """Decide how many places each relay should have: by weight, within its room, and spares only without others."""
        now = time.monotonic()
        working = self._working(now)
        proven = any(not relay.spare and not relay.record.failures for relay in working)
        rooms = {relay: relay.room(now) for relay in working if not (relay.spare and proven)}
        before = [relay.target for relay in self.all]
        for relay in self.all:
            relay.target = 0
        for _ in range(self._places):
            free = [relay for relay, room in rooms.items() if relay.target < room]
            if not free:
                break
            min(free, key=lambda relay: (relay.target + 1) / relay.weight).target += 1
        if self._check_at < float("inf"):
            self._check_at = now + CHECK_SECONDS
        if before != [relay.target for relay in self.all]:
            self._changed.set()

    def take(self, bound_to: str | None = None, but: Collection[Relay] = ()) -> Relay | None:
        """Take a place, at the relay `bound_to` if it is named; None when there is none now."""
        if bound_to is not None:
            relay = self._by_name.get(bound_to)
            return self._taken(relay) if relay and relay not in but and self.has_room(bound_to) else None
        free = [relay for relay in self.all if relay.places < relay.target and relay not in but]
        return self._taken(min(free, key=lambda relay: (relay.places + 1) / relay.weight)) if free else None

    async def wait_for_place(self, is_over: Callable[[], bool]) -> Relay | None:
        """Wait for a place and take it; None when the batch has ended or no relay works."""
        while not (self._ended or is_over()):
            relay = self.take()
            if relay or not self.any_works:
                return relay
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), CHECK_SECONDS)
            self.share_out()
        return None

    def release(self, relay: Relay) -> None:
        """Give a place back."""
        relay.places -= 1
        relay.record.add(places=-1)
        self._changed.set()

    def must_leave(self, relay: Relay) -> bool:
        """Return whether a connection must be closed, because its relay has more than it should have."""
        if self._check_at < float("inf") and time.monotonic() >= self._check_at:
            self.share_out()
        return relay.places > relay.target

    def has_room(self, name: str) -> bool:
        """Return whether a relay could have one more place, whatever its share."""
        relay = self._by_name.get(name)
        return relay is not None and relay.places < relay.room(time.monotonic())

    def fail(self, relay: Relay) -> None:
        """Note that a connection could not be opened. One that has others open takes no more than these."""
        if relay.connections:
            relay.record.limit(relay.connections)
        else:
            relay.record.fail(time.monotonic())
        self.share_out()

    def object(self, relay: Relay, wants_less: bool, most: int) -> None:
        """Note that it objects to the sender, for a while if it only wants fewer mails.

        After `most` times in a row it is not used for a while, like one that fails.
        """
        relay.faults += 1
        if wants_less:
            relay.record.slow_down(time.monotonic())
        if relay.faults >= most:
            relay.record.fail(time.monotonic())
        self.share_out()

    def answer(self, relay: Relay, accepted: bool) -> None:
        """Note that it has answered a mail without objections."""
        if accepted:
            relay.faults = 0
        if relay.record.answer(accepted):
            self.share_out()

    def end(self) -> None:
        """Let none wait for a place any more: there is no further mail."""
        self._ended = True
        self._changed.set()

    async def close(self) -> None:
        """Give back what the limiters hold."""
        for relay in self.all:
            relay.record.add(batches=-1)
            await relay.limiter.close()

    def _taken(self, relay: Relay) -> Relay:
        relay.places += 1
        relay.record.add(places=1)
        return relay

    def _working(self, now: float) -> list[Relay]:
        return [relay for relay in self.all if now >= relay.record.down_until]
