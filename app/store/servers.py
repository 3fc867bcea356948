"""The servers behind REDIS_URL, whatever they are: one, those that Sentinels watch, or a Cluster.

One narrow interface over redis-py's three clients. Nothing here retries or waits: `client.py` does, the same way for
all, for redis-py's own retries know no deadline. (Nor is its `socket_timeout` used: on Python 3.11 it now and then
swallows a cancellation, and then the service never stops.)
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from redis import exceptions as redis_errors
from redis.asyncio import Connection, ConnectionPool, Redis, RedisCluster, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff

from app.store.url import Address, Kind

Command = tuple[str | int, ...]
Node = Callable[..., Awaitable[Any]]
"""Sends one command to one certain server."""

MAX_CONNECTIONS = 64
"""A replica's connections, to each server. Commands take well under a millisecond, so that this many are never busy at
once for long; more callers than that wait for one within their deadline."""

_SPARE = 16
"""Connections beside those: subscriptions, and those that are being closed."""

_SENTINEL_PATIENCE_S = 1.0
"""A Sentinel that says nothing for so long is passed over. They answer from memory, in well under a millisecond."""

_TOPOLOGY_TRIES = 3
"""How often the Cluster's client looks for a command's node before it gives up; `client.py` then begins anew."""


class Servers(Protocol):
    """All methods raise redis-py's errors; none waits longer than the network does."""

    kind: Kind

    async def command(self, *command: str | int) -> Any:
        """One command, to the server that has its key."""

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Several, each to its server, without transaction; answers in order."""

    async def nodes(self) -> list[Node]:
        """Every server that holds keys of its own."""

    def pubsub(self) -> AbstractAsyncContextManager[PubSub]:
        """A connection of its own for subscriptions, to a server that hears everything."""

    async def renew(self) -> None:
        """Something is wrong with the connections or with what is known of the servers: begin anew with both."""

    async def aclose(self) -> None:
        """Close everything."""


def servers(address: Address, connect_timeout: float) -> Servers:
    """What `address` names. Connects when first used; `connect_timeout` in seconds."""
    match address.kind:
        case Kind.SINGLE:
            return _Pooled(Redis.from_pool(_pool(address, connect_timeout)))
        case Kind.SENTINEL:
            return _Watched(address, connect_timeout)
        case Kind.CLUSTER:
            return _Clustered(address, connect_timeout)


def _kwargs(address: Address, connect_timeout: float) -> dict[str, Any]:
    return {
        "username": address.username,
        "password": address.password,
        "decode_responses": True,
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": connect_timeout,
        **address.tls_options,
    }


def _never() -> Retry:
    return Retry(NoBackoff(), 0)


def _pool(address: Address, connect_timeout: float) -> ConnectionPool:
    kwargs = _kwargs(address, connect_timeout) | {"db": address.db, "retry": _never()}
    if address.path is not None:
        del kwargs["socket_connect_timeout"]
        kwargs |= {"connection_class": UnixDomainSocketConnection, "path": address.path}
    else:
        host, port = address.hosts[0]
        kwargs |= {"connection_class": SSLConnection if address.tls else Connection, "host": host, "port": port}
    return ConnectionPool(max_connections=MAX_CONNECTIONS + _SPARE, **kwargs)


class _Pooled:
    """One server, or whichever the pool connects to."""

    kind = Kind.SINGLE

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._send: Node = redis.execute_command  # redis-py leaves it untyped

    async def command(self, *command: str | int) -> Any:
        return await self._send(*command)

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute()

    async def nodes(self) -> list[Node]:
        return [self._send]

    @asynccontextmanager
    async def pubsub(self) -> AsyncIterator[PubSub]:
        pubsub = self._redis.pubsub()
        try:
            yield pubsub
        finally:
            await _close(pubsub)

    async def renew(self) -> None:
        await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()


class _Watched(_Pooled):
    """The master, by what the Sentinels say when a connection is made. A new master is found because each failure, and
    each answer of a master that is none any more, closes the idle connections."""

    kind = Kind.SENTINEL

    def __init__(self, address: Address, connect_timeout: float) -> None:
        own = {
            "username": address.sentinel_username,
            "password": address.sentinel_password,
            "db": 0,
            "ssl": address.tls,
        }
        kwargs = _kwargs(address, connect_timeout)
        make: Callable[..., Sentinel] = _Sentinels  # redis-py leaves it untyped
        self._sentinel = make(address.hosts, sentinel_kwargs=kwargs | own | {"retry": _never()})
        super().__init__(
            self._sentinel.master_for(
                address.master,
                db=address.db,
                ssl=address.tls,
                retry=_never(),
                max_connections=MAX_CONNECTIONS + _SPARE,
                **kwargs,
            )
        )

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self._sentinel.sentinels:
            await sentinel.aclose()


class _Sentinels(Sentinel):
    """redis-py's, but a Sentinel that is frozen does not keep the others from being asked."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        problems = []
        for sentinel in list(self.sentinels):
            try:
                async with asyncio.timeout(_SENTINEL_PATIENCE_S):
                    masters: Any = await sentinel.sentinel_masters()
            except TimeoutError:
                problems.append("one does not answer")
                continue
            except redis_errors.RedisError as error:
                problems.append(str(error))
                continue
            state = masters.get(service_name)
            if state is None:
                problems.append(f"one knows no master of that name, but {', '.join(masters) or 'none'}")
            elif not self.check_master_state(state, service_name):
                problems.append("one says that it is down")
            else:
                self.sentinels.remove(sentinel)
                self.sentinels.insert(0, sentinel)  # the first to be asked next time
                return state["ip"], state["port"]
        raise MasterNotFoundError(f"the Sentinels name no master {service_name!r}: {'; '.join(problems)}")


class _Clustered:
    """A Cluster. redis-py follows MOVED and ASK, and learns the nodes anew when one fails."""

    kind = Kind.CLUSTER

    def __init__(self, address: Address, connect_timeout: float) -> None:
        self._kwargs = _kwargs(address, connect_timeout)
        self._tls = address.tls
        self._redis = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
            ssl=address.tls,
            max_connections=MAX_CONNECTIONS + _SPARE,
            require_full_coverage=False,  # the nodes themselves say so, each as it is configured
            retry=Retry(NoBackoff(), _TOPOLOGY_TRIES),
            **self._kwargs,
        )

    async def command(self, *command: str | int) -> Any:
        return await self._redis.execute_command(*command)

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        pipeline = self._redis.pipeline()
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute()

    async def nodes(self) -> list[Node]:
        await self._redis.initialize()
        return [node.execute_command for node in self._redis.get_primaries()]

    @asynccontextmanager
    async def pubsub(self) -> AsyncIterator[PubSub]:
        """At any node: what is published at one reaches all by the Cluster's own bus. Another one each time, so that
        one that is dead is left behind."""
        await self._redis.initialize()
        node = random.choice(self._redis.get_nodes())  # noqa: S311 - spreads load, keeps no secret
        redis: Redis = Redis(host=node.host, port=int(node.port), ssl=self._tls, retry=_never(), **self._kwargs)
        pubsub = redis.pubsub()
        try:
            yield pubsub
        finally:
            await _close(pubsub)
            await redis.aclose()

    async def renew(self) -> None:
        await self._redis.aclose()

    async def aclose(self) -> None:
        await self._redis.aclose()
        await self._redis.nodes_manager.aclose()  # what aclose() leaves when it had just lost a node
        await self._redis.nodes_manager.aclose("startup_nodes")


async def _close(pubsub: PubSub) -> None:
    closing: Any = pubsub.aclose  # redis-py leaves it untyped
    await closing()
