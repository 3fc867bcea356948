"""The one way to Redis: a pooled client, retries within a deadline, and one error when Redis is not to be had."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis import exceptions as redis_errors
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import EqualJitterBackoff

from app.errors import StoreUnavailable
from app.metrics import Metrics
from app.store import scripts

_T = TypeVar("_T")
_MAX_CONNECTIONS = 64
"""A replica's connections. Commands take well under a millisecond, so that this many are never busy at once for long;
more callers than that wait for one within their deadline."""

_TRANSIENT = ("BUSY ", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "LOADING", "READONLY", "OOM ")
"""Error replies that mean: this Redis cannot do it now."""

_RETRIED = (redis_errors.ConnectionError, redis_errors.TimeoutError, redis_errors.ReadOnlyError)


class ScriptRefused(Exception):
    """A script refused a change that would break a rule of the record. Nothing was written; a bug in the caller."""


class RedisClient:
    """What the stores use of Redis: commands, pipelines without transaction, scripts, SCAN and pub/sub; nothing that
    a Cluster client could not do. Every call ends within `timeout` seconds, or raises StoreUnavailable."""

    def __init__(self, redis: Redis, timeout: float, metrics: Metrics | None = None) -> None:
        self._redis = redis
        self._timeout = timeout
        self._metrics = metrics or Metrics()

    async def execute(self, *command: str | int) -> Any:
        """One command. Raises StoreUnavailable."""
        return await self._bounded(str(command[0]), lambda: self._command(*command))

    async def pipeline(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Several commands, few round trips, no transaction, answers in order. Raises StoreUnavailable."""
        if not commands:
            return []

        async def run() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return await pipeline.execute()

        return await self._bounded("pipeline", run)

    async def script(self, name: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run `lua/NAME.lua`. Raises StoreUnavailable, ScriptRefused."""
        script = scripts.load(name)
        tail = (len(keys), *keys, *args)

        async def run() -> Any:
            try:
                return await self._command("EVALSHA", script.sha, *tail)
            except redis_errors.NoScriptError:
                return await self._command("EVAL", script.text, *tail)

        return await self._bounded(name, run)

    async def scan(self, pattern: str, *, kind: str | None = None) -> AsyncIterator[list[str]]:
        """Keys that match a glob pattern, in batches as they are found (some perhaps twice); `kind` is a Redis type.
        Each step is bounded by the timeout; the whole takes what the size of the database takes."""
        cursor = 0
        while True:
            command: list[str | int] = ["SCAN", cursor, "MATCH", pattern, "COUNT", 1000]
            if kind is not None:
                command += ["TYPE", kind]
            cursor, keys = await self.execute(*command)
            cursor = int(cursor)
            yield list(keys)
            if cursor == 0:
                return

    def pubsub(self) -> PubSub:
        """A connection of its own for subscriptions. Its errors are redis-py's: `changes.py` deals with them."""
        return self._redis.pubsub()

    async def ping(self) -> None:
        """Raises StoreUnavailable if Redis does not answer."""
        await self.execute("PING")

    def _command(self, *command: str | int) -> Awaitable[Any]:
        send: Callable[..., Awaitable[Any]] = self._redis.execute_command  # redis-py leaves it untyped
        return send(*command)

    async def _bounded(self, operation: str, call: Callable[[], Awaitable[_T]]) -> _T:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                return await call()
        except TimeoutError as error:
            raise StoreUnavailable(f"Redis did not answer within {self._timeout:g} s.") from error
        except (redis_errors.AuthenticationError, redis_errors.AuthorizationError) as error:
            raise StoreUnavailable(f"Redis refused the login: {error}. Check REDIS_URL.") from error
        except (redis_errors.ConnectionError, redis_errors.TimeoutError) as error:
            raise StoreUnavailable(f"Redis cannot be reached: {error}") from error
        except (redis_errors.OutOfMemoryError, redis_errors.ReadOnlyError) as error:
            raise StoreUnavailable(f"Redis cannot write now: {error}") from error
        except redis_errors.ResponseError as error:
            raise _from_reply(error) from error
        finally:
            self._metrics.redis(operation, time.perf_counter() - began)


def _from_reply(error: redis_errors.ResponseError) -> Exception:
    text = str(error)
    if "REFUSED " in text:
        return ScriptRefused(text[text.index("REFUSED ") + len("REFUSED ") :])
    # Redis 6.2 wraps what a command inside a script answered: "Error running script …: -OOM command not allowed …".
    if text.startswith(_TRANSIENT) or any(f"-{word}" in text for word in _TRANSIENT):
        return StoreUnavailable(f"Redis cannot do it now: {text}")
    return error


@asynccontextmanager
async def connect(url: str, *, timeout: float, metrics: Metrics | None = None) -> AsyncIterator[RedisClient]:
    """A client for `redis://`, `rediss://` or `unix://`, closed at the end. Connects at its first command.
    `timeout` in seconds bounds each call, retries included. Raises ValueError for a URL that is none of these."""
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        url,
        max_connections=_MAX_CONNECTIONS,
        timeout=None,  # waiting for a free connection is bounded with the rest of the call
        decode_responses=True,
        protocol=2,
        socket_timeout=None,  # each call is bounded as a whole; and redis-py's own way swallows cancellation (3.11)
        socket_connect_timeout=timeout,
        retry=Retry(EqualJitterBackoff(cap=0.5, base=0.02), -1, _RETRIED),
    )
    redis: Redis = Redis.from_pool(pool)
    try:
        yield RedisClient(redis, timeout, metrics)
    finally:
        await redis.aclose()
