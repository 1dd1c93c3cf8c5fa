"""Hears of changes from Redis: a subscription on a connection of its own."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from core import notifications
from readserver.backoff import Backoff
from readserver.redis_library import Redis, RedisError

_PING_EVERY: Final = 1.0  # seconds
_DEAD_AFTER: Final = 2.5  # seconds without an answer
_CONNECT_SECONDS: Final = 2.0
_log = logging.getLogger(__name__)


class RedisSubscriber:
    """Passes messages on until cancelled; reconnects for ever, and says whether Redis is there."""

    def __init__(
        self,
        client: "Redis",
        *,
        on_message: Callable[[str, int, str], None],
        on_connection: Callable[[], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        """`on_connection` as the Postgres listener's; `on_up` is called with each answer."""
        self._client = client
        self._on_message = on_message
        self._on_connection = on_connection
        self._on_up = on_up
        self._on_down = on_down

    async def run(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._subscribe(backoff)
            except (RedisError, OSError, TimeoutError) as error:
                self._on_down()
                if backoff.is_first:
                    # The kind alone, since a text of redis-py can repeat the address; and the first
                    # one: whatever happens while it connects ends as a ConnectionError.
                    reason = type(error.__cause__ or error).__name__
                    _log.warning("not listening to Redis", extra={"reason": reason})
                    self._on_connection()
            await backoff.wait()

    async def _subscribe(self, backoff: Backoff) -> None:
        # Closing is local; leaving the block politely could wait for a Redis that hangs.
        subscription = self._client.pubsub(ignore_subscribe_messages=True)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await subscription.subscribe(notifications.CHANNEL)
                await subscription.ping()
            await self._listen(subscription, backoff)
        finally:
            await subscription.aclose()  # type: ignore[no-untyped-call]

    async def _listen(self, subscription: Any, backoff: Backoff) -> None:
        heard_at, greeted = time.monotonic(), False
        while True:
            message = await subscription.get_message(timeout=_PING_EVERY)
            now = time.monotonic()
            if message is not None:
                heard_at = now
                self._on_up()
                self._pass_on(message)
                # Reading what is there already does not wait: in a flood, requests would have to.
                await asyncio.sleep(0)
                if not greeted:
                    greeted = True
                    _log.info("listening to Redis")
                    backoff.reset()
                    self._on_connection()
            elif now - heard_at > _DEAD_AFTER:
                raise TimeoutError
            else:
                async with asyncio.timeout(_PING_EVERY):
                    await subscription.ping()

    def _pass_on(self, message: dict[str, Any]) -> None:
        if message["type"] != "message" or not isinstance(message["data"], bytes):
            return
        if (parsed := notifications.parse(message["data"])) is not None:
            self._on_message(parsed.environment_id, parsed.revision, "redis")
