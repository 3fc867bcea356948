"""A replica among others: who counts as present, who as gone, who gets what starts."""

import os
import subprocess
from dataclasses import replace

import pytest

from app.engine.memory import MemoryEngine
from app.lifespan import Relink, running
from app.model import Status
from app.sessions.replicas import is_gone, process_space
from app.settings import Settings
from app.store.client import RedisClient
from app.store.keys import Keys
from app.store.replicas import ReplicaStore, Worker
from tests.support.memory_world import MemoryWorld
from tests.support.redis_server import RedisServer
from tests.support.world import eventually, fast_settings

SOMEBODY = Worker(
    id="w",
    host="h",
    pid=os.getppid(),
    process_space=process_space(),
    version="0",
    sessions=0,
    max_sessions=1,
    accepting=True,
    started_at=0,
    beat_at=0,
    held=0,
    held_for="",
)


def test_a_process_that_lives_is_not_gone() -> None:
    assert not is_gone(SOMEBODY)


def test_a_process_that_ended_is_gone() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert is_gone(replace(SOMEBODY, pid=ended.pid))


def test_a_namesake_of_this_very_process_is_gone() -> None:
    assert is_gone(replace(SOMEBODY, pid=os.getpid()))


@pytest.mark.parametrize("space", ["", "another machine"])
def test_of_processes_elsewhere_nothing_is_known(space: str) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert not is_gone(replace(SOMEBODY, pid=ended.pid, process_space=space))


@pytest.fixture
def settings(redis: RedisServer) -> Settings:
    return fast_settings(redis, replica_ttl=0.6, max_sessions=3, shutdown_timeout=1)


@pytest.fixture
def registry(redis_client: RedisClient, keys: Keys) -> ReplicaStore:
    return ReplicaStore(redis_client, keys)


async def other(registry: ReplicaStore, sessions: int, *, accepting: bool = True, limit: int = 100) -> None:
    """Another replica, alive for long enough."""
    fields: dict[str, str | int] = {"sessions": sessions, "max_sessions": limit, "accepting": int(accepting)}
    await registry.beat("other", fields | {"pid": 1, "process_space": "", "host": "", "version": ""}, ttl_ms=60_000)


async def test_it_beats_while_it_runs_and_is_absent_after(
    settings: Settings, redis: RedisServer, engine: MemoryEngine, registry: ReplicaStore
) -> None:
    from app.lifespan import running

    async with running(settings, make_engine=lambda _: engine) as relink:
        name = relink.replicas.name
        first = next(worker for worker in await registry.alive() if worker.id == name)
        assert (first.pid, first.max_sessions, first.accepting) == (os.getpid(), 3, True)
        with redis.client() as client:
            await eventually(lambda: int(str(client.hget(f"relink:worker:{name}", "beat_at"))) > first.beat_at)
    assert await registry.alive() == []


async def test_a_session_starts_where_it_was_asked_for(relink: Relink, registry: ReplicaStore) -> None:
    await other(registry, 0)
    await relink.replicas.beat()
    assert (await relink.service.start("a")).owner == relink.replicas.name


async def test_a_full_replica_gives_to_the_other(world: MemoryWorld, relink: Relink, registry: ReplicaStore) -> None:
    for session in ("a", "b", "c"):
        await world.service.generate_qr(session)
    await other(registry, 5)
    await relink.replicas.beat()
    assert (await relink.service.start("d")).owner == "other"
    assert "d" in await registry.sessions_of("other")


@pytest.mark.parametrize("why", ["full", "leaving"])
async def test_who_takes_none_is_given_none(
    world: MemoryWorld, relink: Relink, registry: ReplicaStore, why: str
) -> None:
    for session in ("a", "b"):
        await world.service.generate_qr(session)
    await other(registry, 0, accepting=why == "full", limit=0 if why == "full" else 100)
    await relink.replicas.beat()
    assert (await relink.service.start("c")).owner == relink.replicas.name


async def test_an_owner_that_does_not_begin_is_replaced(
    world: MemoryWorld, relink: Relink, registry: ReplicaStore
) -> None:
    """The other beats, and does nothing: it is frozen."""
    for session in ("a", "b", "c"):
        await world.service.generate_qr(session)
    await other(registry, 0)
    await relink.replicas.beat()
    assert (await relink.service.start("d")).owner == "other"
    await relink.service.force_reset("a")
    record = await world.until("d", Status.QR)
    assert record.owner == relink.replicas.name


async def test_this_replica_is_settled_after_a_ttl(relink: Relink) -> None:
    assert not relink.replicas.settled
    await eventually(lambda: relink.replicas.settled)


async def test_after_a_gap_this_replica_is_not_settled_for_a_ttl(redis: RedisServer) -> None:
    """Redis was away for less than the TTL: long enough for the heartbeat of a healthy neighbour to run out."""
    async with running(fast_settings(redis, replica_ttl=0.6), make_engine=lambda _: MemoryEngine()) as relink:
        await eventually(lambda: relink.replicas.settled)
        with redis.client() as client:
            client.execute_command("CLIENT PAUSE", "450", "ALL")
        await eventually(lambda: not relink.replicas.settled, seconds=0.6)
        await relink.redis.ping()
        await relink.replicas.beat()
        assert not relink.replicas.settled
        await eventually(lambda: relink.replicas.settled)
