"""What stands at REDIS_URL is looked at before anything is begun, and what is wrong with it is said."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from redis.asyncio.client import PubSub
from structlog.testing import capture_logs

from app.errors import StoreUnavailable
from app.store.client import RedisClient, UnsuitableRedis, connect
from app.store.servers import Command, Node
from app.store.url import Kind
from tests.support.redis_cluster import redis_cluster
from tests.support.redis_node import RedisNode
from tests.support.redis_sentinel import redis_sentinel


class OneThatSays:
    """A server of which only INFO is known."""

    kind = Kind.SINGLE

    def __init__(self, **info: str) -> None:
        self._info = {"redis_mode": "standalone", "redis_version": "7.2.4", "maxmemory_policy": "noeviction"} | info

    async def command(self, *command: str | int) -> Any:
        raise AssertionError(command)

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        raise AssertionError(commands)

    async def nodes(self) -> list[Node]:
        return [self._answer]

    async def _answer(self, *command: str | int) -> Mapping[str, str]:
        assert command == ("INFO",)
        return self._info

    def pubsub(self) -> AbstractAsyncContextManager[PubSub]:
        raise AssertionError

    async def renew(self) -> None:
        raise AssertionError

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("version", ["6.0.16", "5.0.14", "2.8"])
async def test_one_that_is_too_old_is_refused(version: str) -> None:
    with pytest.raises(UnsuitableRedis, match=rf"Redis {version} is too old: Relink needs 6\.2 or newer"):
        await RedisClient(OneThatSays(redis_version=version), timeout=1).check()


@pytest.mark.parametrize("version", ["6.2.0", "7.4.1", "8.0.0", "10.0", "unstable"])
async def test_a_newer_one_will_do(version: str) -> None:
    with capture_logs() as logs:
        await RedisClient(OneThatSays(redis_version=version), timeout=1).check()
    assert logs == []


async def test_one_that_may_evict_is_warned_of(node: RedisNode) -> None:
    with node.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    async with connect(node.url, timeout=5) as client_:
        with capture_logs() as logs:
            await client_.check()
    assert [(entry["event"], entry["policy"], entry["log_level"]) for entry in logs] == [
        ("redis_may_evict", "allkeys-lru", "warning")
    ]


async def test_a_node_of_a_cluster_is_no_single_server() -> None:
    with redis_cluster() as cluster:
        async with connect(cluster.masters[0].url, timeout=5) as client:
            with pytest.raises(UnsuitableRedis, match=r"use redis\+cluster://"):
                await client.check()


async def test_a_sentinel_is_no_server() -> None:
    with redis_sentinel() as sentinel:
        async with connect(sentinel.sentinels[0].url, timeout=5) as client:
            with pytest.raises(UnsuitableRedis, match=r"use redis\+sentinel://"):
                await client.check()
        async with connect(f"{sentinel.url}-of-another-name", timeout=1) as client:
            with pytest.raises(StoreUnavailable, match="but relink-test"):
                await client.check()


async def test_a_single_server_is_no_cluster(node: RedisNode) -> None:
    async with connect(f"redis+cluster://127.0.0.1:{node.port}", timeout=1) as client:
        with pytest.raises(StoreUnavailable, match="Cluster mode is not enabled"):
            await client.check()


@pytest.mark.parametrize("form", ["redis", "redis+sentinel", "redis+cluster"])
async def test_a_password_is_used_and_never_told(node: RedisNode, form: str) -> None:
    with node.client() as client:
        client.config_set("requirepass", "the right one")
    master = "/m?sentinel_password=the%20secret" if form == "redis+sentinel" else ""
    async with connect(f"{form}://:the%20secret@127.0.0.1:{node.port}{master}", timeout=1) as refused:
        with pytest.raises(StoreUnavailable) as error:
            await refused.check()
    assert "secret" not in str(error.value)
    async with connect(f"redis://:the%20right%20one@127.0.0.1:{node.port}", timeout=5) as let_in:
        await let_in.check()
