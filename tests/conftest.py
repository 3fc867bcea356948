"""Fixtures for all tests: a real Redis, the stores on it, and a check that no test leaves anything running."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from app.model import AuthLayout
from app.store.auth import RedisAuthStore
from app.store.client import RedisClient, connect
from app.store.keys import Keys
from app.store.sessions import SessionStore
from tests.support.redis_cluster import ClusterServer, redis_cluster
from tests.support.redis_sentinel import SentinelServer, redis_sentinel
from tests.support.redis_server import RedisServer, binary, redis_server

pytest_plugins = ["tests.support.no_skips"]

AnyRedis = RedisServer | ClusterServer | SentinelServer

MANY: dict[str | None, Callable[[], AbstractContextManager[AnyRedis]]] = {
    "cluster": redis_cluster,
    "sentinel": redis_sentinel,
}


@pytest.fixture(scope="session")
def redis_version(request: pytest.FixtureRequest) -> str | None:
    """Parametrize indirectly ("6.2", "7", "cluster", "sentinel") for tests that must hold on several; None: whichever
    the machine has."""
    return getattr(request, "param", None)


@pytest.fixture(scope="session")
def shared_redis_server(redis_version: str | None) -> Iterator[AnyRedis]:
    if redis_version in MANY:
        with MANY[redis_version]() as many:
            yield many
        return
    if redis_version is not None and binary(redis_version) is None:
        pytest.skip(f"no redis-server {redis_version} here")
    with redis_server(redis_version) as server:
        yield server


@pytest.fixture
def redis(shared_redis_server: AnyRedis) -> AnyRedis:
    """An empty Redis (one server, or one Cluster, for all tests of a process)."""
    shared_redis_server.everywhere("FLUSHALL")
    return shared_redis_server


@pytest.fixture
async def redis_client(redis: AnyRedis) -> AsyncIterator[RedisClient]:
    async with connect(redis.url, timeout=5) as client:
        yield client


@pytest.fixture
def keys() -> Keys:
    return Keys("relink")


@pytest.fixture
def store(redis_client: RedisClient, keys: Keys) -> SessionStore:
    return SessionStore(redis_client, keys)


@pytest.fixture(params=list(AuthLayout))
def auth_store(request: pytest.FixtureRequest, redis_client: RedisClient, keys: Keys) -> RedisAuthStore:
    """Each test that asks for it runs once per layout."""
    return RedisAuthStore(redis_client, keys, request.param)


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    """A test must end the processes that it starts."""
    before = _children()
    yield
    left = _children() - before
    assert not left, f"processes left running: {[_name(pid) for pid in left]}"


@pytest.fixture(autouse=True)
async def no_task_left() -> AsyncIterator[None]:
    """A test must end the tasks that it starts."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if not task.done()} - {asyncio.current_task()}
    assert not left, f"tasks left running: {left}"


def _children() -> set[int]:
    listing = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return {int(pid) for pid in listing.read_text().split()} if listing.exists() else set()


def _name(pid: int) -> str:
    return f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes().replace(bytes(1), b' ').decode()}"
