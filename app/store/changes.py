"""Wake-ups: what the scripts publish at each transition. Only latency depends on them, never correctness."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import structlog
from redis import exceptions as redis_errors

from app.model import Status
from app.store.client import RedisClient
from app.store.keys import Keys

log = structlog.get_logger(__name__)

_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_QUIET_S = 5.0
"""After so long without a word the connection is tried with a PING; after twice that it is taken for dead."""

_HANG_S = 2 * _QUIET_S
"""What one step may take that ends by itself, unless the server hangs in the middle of a connection's beginning."""

_LOST = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError)


@dataclass(frozen=True, slots=True)
class ChangeNotice:
    """There is something newer to read. `deleted`: the record is gone, `status` is None, `seq` one above its last."""

    id: str
    epoch: int
    seq: int
    status: Status | None
    owner: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class Resubscribed:
    """A subscription begins, the first or another: whatever came before may have been missed."""


class Changes:
    """Iterate over it for ever: `async for change in changes`. It reconnects by itself and never raises."""

    def __init__(self, client: RedisClient, keys: Keys) -> None:
        self._client = client
        self._channel = keys.changes

    async def __aiter__(self) -> AsyncIterator[ChangeNotice | Resubscribed]:
        failures = 0
        while True:
            try:
                async with aclosing(self._subscription()) as messages:
                    async for message in messages:
                        failures = 0
                        yield message
            except _LOST as error:
                log.warning("changes_disconnected", error=str(error) or "no answer")
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1

    async def _subscription(self) -> AsyncGenerator[ChangeNotice | Resubscribed, None]:
        """Messages of one connection; ends, or raises redis-py's errors, when it is lost."""
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(_HANG_S):
                pubsub = await stack.enter_async_context(self._client.pubsub())
                await pubsub.subscribe(self._channel)
            silent = 0
            while silent < 2:
                async with asyncio.timeout(_HANG_S):
                    message = await pubsub.get_message(timeout=_QUIET_S)
                    if message is None:
                        silent += 1
                        await pubsub.ping()
                        continue
                silent = 0
                change = _parse(message)
                if change is not None:
                    yield change
            log.warning("changes_silent")


def _parse(message: dict[str, Any]) -> ChangeNotice | Resubscribed | None:
    if message["type"] == "subscribe":  # also after redis-py itself has reconnected
        return Resubscribed()
    if message["type"] != "message":
        return None
    try:
        data = json.loads(message["data"])
        return ChangeNotice(
            id=data["id"],
            epoch=int(data["epoch"]),
            seq=int(data["seq"]),
            status=Status(data["status"]) if "status" in data else None,
            owner=data.get("owner", ""),
            deleted=data.get("deleted", False),
        )
    except (ValueError, KeyError, TypeError):
        log.warning("changes_not_understood")  # somebody else publishes there, or a newer version of Relink
        return None
