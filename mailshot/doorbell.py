"""The doorbell: a queue message that carries a run's id and means "check the ledger".

Losing or doubling one changes nothing, so nothing here is retried, delayed or stored. When Redis is down or flushed,
workers still find due mail in the ledger (tests/crash).
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
#: What a queue that cannot be reached raises.
QUEUE_ERRORS = (DramatiqError, redis.RedisError, OSError)
log = logging.getLogger(__name__)


def broker(redis_url: str) -> Broker:
    """Return a broker without middleware: on Redis, or in this process when `redis_url` is empty.

    The Redis client repeats no command: an enqueue whose first reply was lost would be in the queue twice.
    """
    if not redis_url:
        return StubBroker(middleware=[])
    client = redis.Redis.from_url(
        redis_url, retry=Retry(NoBackoff(), 0), socket_timeout=10, socket_connect_timeout=3, health_check_interval=30
    )
    # Check for dead workers' messages on every command: enqueueing is cheap, a delayed wake-up is not.
    return RedisBroker(  # type: ignore[no-untyped-call]
        client=client, middleware=[], maintenance_chance=1_000_000, heartbeat_timeout=60_000
    )


class Doorbell:
    """Sends doorbells."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        broker.declare_queue(QUEUE)

    def ring(self, run_id: int) -> bool:
        """Ring for a run. Returns False when the queue does not answer: then workers find the mail by polling."""
        message: Message[None] = Message(queue_name=QUEUE, actor_name=ACTOR, args=(run_id,), kwargs={}, options={})
        try:
            self.broker.enqueue(message)
        except QUEUE_ERRORS as error:
            log.warning("the queue does not answer; workers find due mail in the ledger: %s", error)
            return False
        return True


def check_redis(redis_url: str) -> None:
    """Raise Unavailable when the Redis does not answer."""
    try:
        redis.Redis.from_url(redis_url, socket_connect_timeout=3, socket_timeout=3).ping()
    except redis.RedisError as error:
        raise Unavailable(
            f"Redis does not answer: {error}", "See MAILSHOT_REDIS; mail is sent without it, too."
        ) from None
