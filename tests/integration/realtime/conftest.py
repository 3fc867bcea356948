from collections.abc import AsyncIterator

import pytest

from tests.support.face import Face, serving
from tests.support.redis_server import RedisServer
from tests.support.socketio_client import SocketIoDriver, socketio_driver


@pytest.fixture
async def face(redis: RedisServer) -> AsyncIterator[Face]:
    """The service with nothing but `default` in it."""
    async with serving(redis.url) as face:
        yield face


@pytest.fixture
async def js() -> AsyncIterator[SocketIoDriver]:
    """JavaScript clients."""
    async with socketio_driver() as driver:
        yield driver
