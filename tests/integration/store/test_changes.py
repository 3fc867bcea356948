"""Wake-ups through pub/sub."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from app.model import Status
from app.store.changes import ChangeNotice, Changes, Resubscribed
from app.store.client import RedisClient
from app.store.keys import Keys
from app.store.sessions import SessionStore
from tests.conftest import AnyRedis
from tests.integration.store.test_sessions import start


@pytest.fixture
async def changes(redis_client: RedisClient, keys: Keys) -> AsyncIterator[AsyncIterator[ChangeNotice | Resubscribed]]:
    iterator = aiter(Changes(redis_client, keys))
    assert await anext(iterator) == Resubscribed()
    yield iterator
    await iterator.aclose()  # type: ignore[attr-defined]


async def test_every_transition_is_told(
    store: SessionStore, changes: AsyncIterator[ChangeNotice | Resubscribed], redis_client: RedisClient, keys: Keys
) -> None:
    await redis_client.execute("PUBLISH", keys.changes, "not for us")
    await redis_client.execute("PUBLISH", keys.changes, json.dumps({"id": "a", "epoch": 1, "seq": 1, "status": "new"}))
    record = await start(store)
    async with asyncio.timeout(5):
        created, started = await anext(changes), await anext(changes)
        await store.delete("a")
        deleted = await anext(changes)
    assert isinstance(created, ChangeNotice)
    assert (created.status, created.owner, created.seq) == (Status.IDLE, "", 1)
    assert started == ChangeNotice("a", record.epoch, record.seq, Status.STARTING, "w1", deleted=False)
    assert deleted == ChangeNotice("a", record.epoch, record.seq + 1, None, "", deleted=True)


async def test_a_lost_connection_is_made_again_and_told(
    store: SessionStore, changes: AsyncIterator[ChangeNotice | Resubscribed], redis: AnyRedis
) -> None:
    async with asyncio.timeout(10):
        for _ in range(3):
            pending = asyncio.ensure_future(anext(changes))
            assert sum(redis.everywhere("CLIENT KILL", "TYPE", "pubsub")) >= 1  # Sentinels listen, too
            assert await pending == Resubscribed()
        record = await store.ensure("a")
        notice = await anext(changes)
    assert isinstance(notice, ChangeNotice)
    assert (notice.id, notice.seq) == ("a", record.seq)
