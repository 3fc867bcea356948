"""Replicas as processes, on a Redis and a simulator that all tests here share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet, fleet
from tests.support.redis_server import RedisServer
from tests.support.simulator import Simulator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.bridge)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as started:
        yield started


@pytest.fixture
async def replicas(redis: RedisServer, simulator: Simulator) -> AsyncIterator[Fleet]:
    """An empty fleet: start what is needed."""
    async with fleet(redis.url, simulator) as made:
        yield made
