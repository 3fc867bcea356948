from collections.abc import AsyncIterator

import pytest

from tests.support.face import Face, serving
from tests.support.redis_server import RedisServer


@pytest.fixture
async def face(redis: RedisServer) -> AsyncIterator[Face]:
    """The service with nothing but `default` in it."""
    async with serving(redis.url) as face:
        yield face
