"""The whole service with the real Baileys, a simulator and a real Redis.

Starting all that takes seconds, so tests share one service per auth layout, on an event loop that lasts as long as the
test session. Each test has a session and a phone of its own; what it leaves behind is removed and checked for leaks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from app.lifespan import running
from app.model import AuthLayout
from tests.support.redis_server import RedisServer, redis_server
from tests.support.simulator import Simulator
from tests.support.world import World, fast_settings

HERE = Path(__file__).parent

_numbers = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here run on the loop of their shared fixtures, and need Node."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.bridge)
            if isinstance(item, pytest.Function) and asyncio.iscoroutinefunction(item.obj):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    """The Redis of the shared services: never flushed."""
    with redis_server() as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def simulator(shared_simulator: Simulator) -> AsyncIterator[Simulator]:
    """As if it had just been started."""
    yield shared_simulator
    await shared_simulator.reset()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hash_world(server: RedisServer, shared_simulator: Simulator) -> AsyncIterator[World]:
    async with running(fast_settings(server, key_prefix="relink", **shared_simulator.settings)) as relink:
        yield World(relink, shared_simulator, server)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def keys_world(server: RedisServer, shared_simulator: Simulator) -> AsyncIterator[World]:
    settings = fast_settings(server, key_prefix="relink2", auth_layout=AuthLayout.KEYS, **shared_simulator.settings)
    async with running(settings) as relink:
        yield World(relink, shared_simulator, server)


@pytest_asyncio.fixture(loop_scope="session")
async def world(hash_world: World, simulator: Simulator) -> AsyncIterator[World]:
    """The shared service, hash layout."""
    yield hash_world
    await hash_world.sweep()


@pytest.fixture(params=list(AuthLayout))
def world_of_layout(request: pytest.FixtureRequest, hash_world: World, keys_world: World) -> World:
    return hash_world if request.param is AuthLayout.HASH else keys_world


@pytest_asyncio.fixture(loop_scope="session")
async def each_world(world_of_layout: World, simulator: Simulator) -> AsyncIterator[World]:
    """The shared services: a test that asks for this runs once per auth layout."""
    yield world_of_layout
    await world_of_layout.sweep()


@pytest.fixture
def new_session() -> Callable[[], str]:
    """Names for sessions that no other test uses."""
    return lambda: f"s{next(_numbers)}"


@pytest.fixture
def session(new_session: Callable[[], str]) -> str:
    return new_session()
