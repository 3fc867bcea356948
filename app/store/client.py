"""The one way to Redis: pooled connections, retries within a deadline, and one error when Redis is not to be had."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import structlog
from redis import exceptions as redis_errors
from redis.asyncio.client import PubSub

from app.errors import StoreUnavailable
from app.metrics import Metrics
from app.store import scripts
from app.store.servers import MAX_CONNECTIONS, Command, Node, Servers, servers
from app.store.url import Kind, parse

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

OLDEST = (6, 2)
"""The Redis that everything is tested with, at least."""

_PAUSES_S = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Between tries. The first comes at once: a connection that was idle for long may have been dead for long."""

_LOGIN = (redis_errors.AuthenticationError, redis_errors.AuthorizationError)

_LOST = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    TimeoutError,
    redis_errors.ClusterError,
    redis_errors.RedisClusterException,
)
"""The server, or the way to it, failed."""

_PASSES = (redis_errors.ReadOnlyError, redis_errors.AskError, redis_errors.TryAgainError)
_PASSES_TEXT = re.compile(r"(?:^|[ -])(?:READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN) |non local key")
"""Error replies that a failover brings, or a slot on its way to another node; another try, perhaps elsewhere, mends
them. The texts are for Redis 6.2, which wraps what a command inside a script answered: "Error running script …: -OOM
command not allowed …"."""

_NOT_NOW = (redis_errors.OutOfMemoryError,)
_NOT_NOW_TEXT = re.compile(r"(?:^|[ -])(?:OOM|MISCONF|NOREPLICAS|BUSY) ")
"""Error replies that mean: this Redis cannot do it now. Waiting for an instant would not help."""


class ScriptRefused(Exception):
    """A script refused a change that would break a rule of the record. Nothing was written; a bug in the caller."""


class UnsuitableRedis(StoreUnavailable):
    """What answers at REDIS_URL is nothing that Relink can work with."""


class RedisClient:
    """What the stores use of Redis: commands, pipelines without transaction, scripts, SCAN and pub/sub; nothing that
    a Cluster could not do. Every call ends within `timeout` seconds, or raises StoreUnavailable.

    A call whose answer is lost, or does not come in half that time, is made again, so that each must be one that may be
    done twice. Scripts for which that matters are given a name for the call (see `sessions.py`).
    """

    def __init__(self, servers: Servers, timeout: float, metrics: Metrics | None = None) -> None:
        self._servers = servers
        self._timeout = timeout
        self._metrics = metrics or Metrics()
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._renewals = 0

    async def execute(self, *command: str | int) -> Any:
        """One command. Raises StoreUnavailable."""
        return await self._bounded(str(command[0]), lambda: self._servers.command(*command))

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Several commands, few round trips, no transaction, answers in order. Raises StoreUnavailable."""
        if not commands:
            return []
        return await self._bounded("pipeline", lambda: self._servers.pipeline(commands))

    async def script(self, name: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run `lua/NAME.lua`. Raises StoreUnavailable, ScriptRefused."""
        script = scripts.load(name)
        tail = (len(keys), *keys, *args)

        async def run() -> Any:
            try:
                return await self._servers.command("EVALSHA", script.sha, *tail)
            except redis_errors.NoScriptError:
                return await self._servers.command("EVAL", script.text, *tail)

        return await self._bounded(name, run)

    async def scan(self, pattern: str, *, kind: str | None = None) -> AsyncIterator[list[str]]:
        """Keys that match a glob pattern, in batches as they are found (some perhaps twice); `kind` is a Redis type.
        Each step is bounded by the timeout; the whole takes what the size of the database takes. Raises
        StoreUnavailable, also when a server was replaced meanwhile: then not all keys may have been found."""
        for node in await self._nodes("SCAN"):
            async for batch in self._scan_node(node, pattern, kind):
                yield batch

    async def _scan_node(self, node: Node, pattern: str, kind: str | None) -> AsyncIterator[list[str]]:
        options: list[str | int] = ["MATCH", pattern, "COUNT", 1000]
        if kind is not None:
            options += ["TYPE", kind]
        life = await self._life(node)
        cursor = "0"
        while True:
            cursor, keys = await self._bounded("SCAN", partial(node, "SCAN", cursor, *options))
            done = int(cursor) == 0
            if done and await self._life(node) != life:  # to another server, the cursors of the first meant nothing
                raise StoreUnavailable("Redis was restarted while its keys were being listed.")
            yield list(keys)
            if done:
                return

    async def _life(self, node: Node) -> str:
        """Names this life of the server: one that was started again, or took its place, has another."""
        return str((await self._bounded("INFO", partial(node, "INFO", "server")))["run_id"])

    def pubsub(self) -> AbstractAsyncContextManager[PubSub]:
        """A connection of its own for subscriptions. Its errors are redis-py's: `changes.py` deals with them."""
        return self._servers.pubsub()

    async def ping(self) -> None:
        """Raises StoreUnavailable if a server that holds keys does not answer."""
        for node in await self._nodes("PING"):
            await self._bounded("PING", partial(node, "PING"))

    async def check(self) -> None:
        """See that this Redis will do, and warn of what it might lose. Raises UnsuitableRedis, StoreUnavailable."""
        for node in await self._nodes("INFO"):
            _check(await self._bounded("INFO", partial(node, "INFO")), self._servers.kind)

    async def _nodes(self, operation: str) -> list[Node]:
        return await self._bounded(operation, self._servers.nodes)

    async def _bounded(self, operation: str, call: Callable[[], Awaitable[_T]]) -> _T:
        began = time.perf_counter()
        problems: list[Exception] = []
        try:
            async with asyncio.timeout(self._timeout):
                return await self._tried(call, problems)
        except TimeoutError as error:
            last = next((str(problem) for problem in reversed(problems) if str(problem)), "")
            raise StoreUnavailable(f"Redis did not answer within {self._timeout:g} s. {last}".rstrip()) from error
        except redis_errors.RedisError as error:
            raise _explained(error) from error
        finally:
            self._metrics.redis(operation, time.perf_counter() - began)

    async def _tried(self, call: Callable[[], Awaitable[_T]], problems: list[Exception]) -> _T:
        """Try until it works or fails for good; what failed for now is added to `problems`."""
        for failures in itertools.count():
            renewals = self._renewals
            try:
                async with self._slots, asyncio.timeout(self._timeout / 2):
                    return await call()
            except _LOGIN:
                raise
            except _LOST as error:
                problems.append(error)
            except redis_errors.ResponseError as error:
                if not (isinstance(error, _PASSES) or _PASSES_TEXT.search(str(error))):
                    raise
                problems.append(error)
            if self._renewals == renewals:  # nobody else has since this try began
                self._renewals += 1
                await self._servers.renew()
            await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
        raise AssertionError("unreachable")


def _explained(error: redis_errors.RedisError) -> Exception:
    """What callers get for an error of redis-py."""
    text = str(error)
    if isinstance(error, _LOGIN):
        return StoreUnavailable(f"Redis refused the login: {text}. Check REDIS_URL.")
    if isinstance(error, redis_errors.NoPermissionError):
        return StoreUnavailable(f"Redis does not allow this user what Relink needs: {text}")
    if "REFUSED " in text:
        return ScriptRefused(text[text.index("REFUSED ") + len("REFUSED ") :])
    if isinstance(error, _NOT_NOW) or _NOT_NOW_TEXT.search(text):
        return StoreUnavailable(f"Redis cannot write now: {text}")
    return error


def _check(info: Mapping[str, Any], kind: Kind) -> None:
    mode = info.get("redis_mode")
    if mode == "sentinel":
        raise UnsuitableRedis("A Sentinel answers at REDIS_URL: use redis+sentinel://HOST:PORT/MASTER-NAME.")
    if mode == "cluster" and kind is not Kind.CLUSTER:
        raise UnsuitableRedis(
            "A node of a Redis Cluster answers at REDIS_URL: use redis+cluster://HOST:PORT,HOST:PORT."
        )
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers and numbers < OLDEST:
        raise UnsuitableRedis(f"Redis {version} is too old: Relink needs {'.'.join(map(str, OLDEST))} or newer.")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        log.warning(
            "redis_may_evict",
            policy=policy,
            advice="CONFIG SET maxmemory-policy noeviction: an evicted key is a lost WhatsApp link",
        )


@asynccontextmanager
async def connect(url: str, *, timeout: float, metrics: Metrics | None = None) -> AsyncIterator[RedisClient]:
    """A client for any form of REDIS_URL (`url.py`), closed at the end. Connects at its first command. `timeout` in
    seconds bounds each call, retries included. Raises ValueError for a URL that is none of these."""
    behind = servers(parse(url), connect_timeout=timeout / 2)
    try:
        yield RedisClient(behind, timeout, metrics)
    finally:
        await behind.aclose()
