"""A simulator and an engine. Starting them takes a second, so the tests of a module that do them no harm share them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.engine.worlds import BaileysWorld, MemoryWorld, World, baileys_world
from tests.support.simulator import Simulator


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["memory", pytest.param("baileys", marks=pytest.mark.bridge)]
)
async def shared_baileys(request: pytest.FixtureRequest) -> AsyncIterator[BaileysWorld | None]:
    if request.param == "memory":
        yield None
        return
    async with Simulator() as simulator, baileys_world(simulator) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared_baileys: BaileysWorld | None) -> World:
    """Each test that asks for it runs over both engines."""
    if shared_baileys is None:
        return MemoryWorld()
    await shared_baileys.simulator.reset()
    return shared_baileys


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """One of the test's own."""
    async with Simulator() as started:
        yield started
