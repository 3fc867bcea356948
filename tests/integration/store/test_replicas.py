"""Heartbeats, and the index of what each replica may own."""

import asyncio

from app.store.client import RedisClient
from app.store.keys import Keys
from app.store.replicas import ReplicaStore
from tests.support.keys import all_keys

FIELDS: dict[str, str | int] = {
    "host": "h", "pid": 7, "process_space": "p", "version": "1", "sessions": 2, "max_sessions": 9, "accepting": 1,
}  # fmt: skip


async def test_a_replica_is_alive_while_it_beats(redis_client: RedisClient, keys: Keys) -> None:
    replicas = ReplicaStore(redis_client, keys)
    first = await replicas.beat("w1", FIELDS, ttl_ms=60_000)
    second = await replicas.beat("w1", {**FIELDS, "accepting": 0, "sessions": 3}, ttl_ms=60_000)
    (worker,) = await replicas.alive()
    assert (worker.id, worker.pid, worker.sessions, worker.accepting) == ("w1", 7, 3, False)
    assert (worker.started_at, worker.beat_at) == (first, second)
    assert await replicas.dead() == []
    assert 0 < await redis_client.execute("PTTL", keys.worker("w1")) <= 60_000


async def test_a_silent_replica_is_dead_until_it_is_forgotten(redis_client: RedisClient, keys: Keys) -> None:
    replicas = ReplicaStore(redis_client, keys)
    await replicas.beat("w1", FIELDS, ttl_ms=20)
    await replicas.beat("w2", FIELDS, ttl_ms=60_000)
    await replicas.add_session("w1", "a")
    await replicas.add_session("w1", "b")
    await replicas.add_session("w1", "b")
    await replicas.remove_session("w1", "a")
    async with asyncio.timeout(5):
        while not await replicas.dead():  # noqa: ASYNC110 - Redis lets keys expire without a word
            await asyncio.sleep(0.005)
    assert await replicas.dead() == ["w1"]
    assert [worker.id for worker in await replicas.alive()] == ["w2"]
    assert await replicas.sessions_of("w1") == ["b"]
    await replicas.forget("w1")
    assert await replicas.dead() == []
    assert await replicas.sessions_of("w1") == []
    await replicas.forget("w2")
    assert await all_keys(redis_client) == set()
