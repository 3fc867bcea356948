"""The whole service over the engine in memory: all of a session but the real WhatsApp client, in milliseconds."""

from collections.abc import AsyncIterator

import pytest

from app.engine.memory import MemoryEngine
from app.lifespan import Relink, running
from app.settings import Settings
from tests.support.memory_world import MemoryWorld
from tests.support.redis_server import RedisServer
from tests.support.world import fast_settings


@pytest.fixture
def settings(redis: RedisServer) -> Settings:
    """Override it to run `relink` with others."""
    return fast_settings(redis)


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
async def relink(settings: Settings, engine: MemoryEngine) -> AsyncIterator[Relink]:
    async with running(settings, make_engine=lambda _: engine) as started:
        yield started


@pytest.fixture
def world(relink: Relink, engine: MemoryEngine, redis: RedisServer) -> MemoryWorld:
    return MemoryWorld(relink, engine, redis)
