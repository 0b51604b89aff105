"""Owns the doorbell: a message that carries a run's id and says "look at the ledger"; refuses to carry anything else.

Losing or doubling one changes nothing, so nothing here is retried, delayed or remembered (torture-tested: with Redis
gone or flushed, workers still find in the ledger what is owed).
"""

from __future__ import annotations

import logging

import redis
from dramatiq import Broker, Message
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import DramatiqError
from redis.backoff import NoBackoff
from redis.retry import Retry

from mailshot.errors import Unavailable

QUEUE = "send"
ACTOR = "deliver"
GONE = (DramatiqError, redis.RedisError, OSError)
log = logging.getLogger(__name__)


def broker(redis_url: str) -> Broker:
    """Return a broker without middleware: in process, or on Redis with a client that never repeats a command by itself.

    A repeated enqueue whose first reply was lost would stand in the queue twice.
    """
    if not redis_url:
        return StubBroker(middleware=[])
    client = redis.Redis.from_url(
        redis_url, retry=Retry(NoBackoff(), 0), socket_timeout=10, socket_connect_timeout=3, health_check_interval=30
    )
    # Dead workers' messages are looked for at every command: a doorbell is cheap, waiting for one is not.
    return RedisBroker(  # type: ignore[no-untyped-call]
        client=client, middleware=[], maintenance_chance=1_000_000, heartbeat_timeout=60_000
    )


class Doorbell:
    """Rings for runs."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        broker.declare_queue(QUEUE)

    def ring(self, run_id: int) -> bool:
        """Ring for a run; False when the queue does not answer, which loses nothing."""
        message: Message[None] = Message(queue_name=QUEUE, actor_name=ACTOR, args=(run_id,), kwargs={}, options={})
        try:
            self.broker.enqueue(message)
        except GONE as error:
            log.warning("the queue does not answer, the ledger will be looked at all the same: %s", error)
            return False
        return True


def check(redis_url: str) -> None:
    """Raise Unavailable when the Redis does not answer."""
    try:
        redis.Redis.from_url(redis_url, socket_connect_timeout=3, socket_timeout=3).ping()
    except redis.RedisError as error:
        raise Unavailable(
            f"Redis does not answer: {error}", "See MAILSHOT_REDIS; mail is sent without it, too."
        ) from None
