"""Redis that fails, under the whole service: replicas as processes, the real Baileys, a simulator."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.redis_node import RedisNode
from tests.support.simulator import Simulator
from tests.support.socketio_client import SocketIoDriver, socketio_driver

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.bridge)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RedisNode]:
    """A Redis as docs/redis.md wants it: the append-only file on."""
    with RedisNode(tmp_path / "redis", "--appendonly", "yes") as node:
        yield node


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as started:
        yield started


@pytest.fixture
async def js() -> AsyncIterator[SocketIoDriver]:
    async with socketio_driver() as driver:
        yield driver
