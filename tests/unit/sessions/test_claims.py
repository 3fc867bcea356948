"""Sessions that nobody runs are found and run again: at boot, after a death, after an orderly leave, after neglect."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.engine.memory import MemoryEngine
from app.lifespan import Relink, running
from app.model import Record, Status
from app.sessions import claims, replicas
from app.sessions.replicas import process_space
from app.settings import Settings
from app.store.client import RedisClient
from app.store.keys import Keys
from app.store.replicas import ReplicaStore
from tests.support.memory_world import MemoryWorld
from tests.support.redis_server import RedisServer
from tests.support.world import eventually, fast_settings, until

TTL_S = 0.6


@pytest.fixture
def settings(redis: RedisServer) -> Settings:
    return fast_settings(redis, replica_ttl=TTL_S, shutdown_timeout=1)


@pytest.fixture
def registry(redis_client: RedisClient, keys: Keys) -> ReplicaStore:
    return ReplicaStore(redis_client, keys)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas of one process do not know that they are: as if each had a machine of its own."""
    monkeypatch.setattr(replicas, "process_space", lambda: "")


class Shared(MemoryEngine):
    """One WhatsApp for several replicas of a test: it does not end with the first of them."""

    async def __aexit__(self, *exc_info: object) -> None:
        pass


@asynccontextmanager
async def replica(settings: Settings, engine: MemoryEngine) -> AsyncIterator[Relink]:
    async with running(settings, make_engine=lambda _: engine) as relink:
        yield relink


def dead_pid() -> int:
    """Of a process that has just ended."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


async def ghost(registry: ReplicaStore, *, ttl_ms: int, pid: int = 1, space: str = "elsewhere") -> None:
    """A replica that has beaten once and will not again."""
    fields: dict[str, str | int] = {"sessions": 1, "max_sessions": 10, "accepting": 1, "pid": pid, "version": "0"}
    await registry.beat("ghost", fields | {"host": "h", "process_space": space}, ttl_ms=ttl_ms)


async def leave_to_ghost(world: MemoryWorld, registry: ReplicaStore, session: str) -> Record:
    """The ghost owns the linked session; its index says so."""
    await world.link(session)
    record = await world.service.get(session)
    await registry.add_session("ghost", session)
    claimed = await world.relink.store.claim(
        session, expected_owner=record.owner, expected_epoch=record.epoch, owner="ghost", deadline_in_ms=60_000
    )
    assert isinstance(claimed, Record)
    return claimed


@pytest.mark.invariant("I1")
async def test_a_silent_replica_is_succeeded_after_its_ttl(
    world: MemoryWorld, registry: ReplicaStore, redis: RedisServer
) -> None:
    await ghost(registry, ttl_ms=300)
    left = await leave_to_ghost(world, registry, "a")
    record = await world.until("a", Status.CONNECTED, after=left.seq)
    assert (record.jid, record.owner) == (left.jid, world.relink.replicas.name)
    assert record.epoch > left.epoch
    assert world.engine.counts["registrations"] == 1
    with redis.client() as client:
        await eventually(lambda: not client.sismember("relink:workers", "ghost"))


async def test_a_replica_that_beats_keeps_its_sessions(world: MemoryWorld, registry: ReplicaStore) -> None:
    await ghost(registry, ttl_ms=60_000)
    left = await leave_to_ghost(world, registry, "a")
    await asyncio.sleep(3 * TTL_S)
    assert await world.service.get("a") == left


async def test_a_replica_whose_process_is_gone_is_succeeded_at_once(world: MemoryWorld, registry: ReplicaStore) -> None:
    """No need to wait for its heartbeat to run out: on this machine one can look."""
    await ghost(registry, ttl_ms=60_000, pid=dead_pid(), space=process_space())
    left = await leave_to_ghost(world, registry, "a")
    record = await world.until("a", Status.CONNECTED, after=left.seq, seconds=3 * TTL_S)
    assert record.owner == world.relink.replicas.name


async def test_what_was_let_go_is_taken_up_at_the_next_start(
    settings: Settings, engine: MemoryEngine, redis: RedisServer
) -> None:
    async with replica(settings, engine) as relink:
        jid = await MemoryWorld(relink, engine, redis).link()
    async with replica(settings, engine) as relink:
        record = await until(relink.service, "a", Status.CONNECTED, seconds=2)
        assert record.jid == jid


async def test_a_fixed_name_finds_the_sessions_of_its_earlier_life(
    settings: Settings, engine: MemoryEngine, redis: RedisServer
) -> None:
    named = settings.model_copy(update={"replica_id": "one"})
    async with replica(named, engine) as relink:
        world = MemoryWorld(relink, engine, redis)
        await world.link()
        last = await world.service.get("a")
    with redis.client() as client:  # as if it had been killed: the record tells of the old life
        client.hset("relink:{a}", mapping={"owner": "one", "status": "connected"})
        client.hdel("relink:{a}", "deadline_at")
    async with replica(named, engine) as relink:
        record = await until(relink.service, "a", Status.CONNECTED, after=last.seq + 1)
        assert (record.jid, record.owner) == (last.jid, "one")


@pytest.mark.parametrize("bring", [Status.STOPPED, Status.IDLE, Status.LOGGED_OUT, Status.FAILED])
async def test_what_does_not_run_is_left_alone(world: MemoryWorld, bring: Status) -> None:
    jid = await world.link()
    match bring:
        case Status.STOPPED:
            await world.service.stop("a")
        case Status.IDLE:
            await world.service.force_reset("a")
        case Status.LOGGED_OUT:
            await world.engine.phone_logout(jid)
        case _:
            world.engine.login_code = 403
            await world.engine.close_device(jid)
    before = await world.until("a", bring)
    await world.relink.store.claim("a", expected_owner="", expected_epoch=before.epoch, owner="ghost", deadline_in_ms=1)
    await asyncio.sleep(2 * TTL_S)
    assert await world.service.get("a") == before


async def test_an_owner_that_lost_sight_of_a_session_loses_it(
    settings: Settings,
    engine: MemoryEngine,
    redis: RedisServer,
    registry: ReplicaStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It beats, and yet a deadline is long over: somebody else looks after the session."""
    monkeypatch.setattr(claims, "WALK_S", 0.2)
    monkeypatch.setattr(claims, "NEGLECT_MS", 100)
    await ghost(registry, ttl_ms=60_000)
    async with replica(settings, engine) as relink:
        await relink.store.start("a", owner="ghost", starting_in_ms=100, connecting_in_ms=100)
        record = await until(relink.service, "a", Status.QR)
        assert record.owner == relink.replicas.name


async def test_claims_are_spread_out(
    settings: Settings, engine: MemoryEngine, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover is no storm: RESUME_RATE sessions a second."""
    sessions = [f"s{number}" for number in range(6)]
    async with replica(settings, engine) as relink:
        world = MemoryWorld(relink, engine, redis)
        for session in sessions:
            await world.link(session)
    began = time.monotonic()
    async with replica(settings.model_copy(update={"resume_rate": 10}), engine) as relink:
        for session in sessions:
            await until(relink.service, session, Status.CONNECTED)
    assert time.monotonic() - began >= (len(sessions) - 1) / 10


@pytest.mark.usefixtures("apart")
class TestTwoReplicas:
    async def test_what_one_lets_go_the_other_takes(self, settings: Settings, redis: RedisServer) -> None:
        engine = Shared()
        async with replica(settings, engine) as stays:
            async with replica(settings, engine) as leaves:
                world = MemoryWorld(leaves, engine, redis)
                jids = {session: await world.link(session) for session in ("a", "b", "c")}
            for session, jid in jids.items():
                record = await until(stays.service, session, Status.CONNECTED, seconds=3)
                assert (record.jid, record.owner) == (jid, stays.replicas.name)
        assert engine.counts["registrations"] == 3
        assert engine.unlinked == []

    @pytest.mark.invariant("I2")
    async def test_two_that_reach_for_one_session_do_not_both_get_it(
        self, settings: Settings, redis: RedisServer
    ) -> None:
        engine = Shared()
        sessions = [f"s{number}" for number in range(8)]
        async with replica(settings, engine) as first:
            for session in sessions:
                await MemoryWorld(first, engine, redis).link(session)
        logins = engine.counts["logins"]
        async with replica(settings, engine) as one, replica(settings, engine) as two:
            owners = {(await until(one.service, session, Status.CONNECTED)).owner for session in sessions}
            assert owners <= {one.replicas.name, two.replicas.name}
            assert one.supervisor.sessions.isdisjoint(two.supervisor.sessions)
            assert engine.counts["logins"] - logins == len(sessions)

    async def test_a_request_reaches_any_of_them(self, settings: Settings, redis: RedisServer) -> None:
        engine = Shared()
        async with replica(settings, engine) as owner, replica(settings, engine) as asked:
            jid = await MemoryWorld(owner, engine, redis).link()
            assert (await asked.service.get("a")).owner == owner.replicas.name
            assert (await asked.service.stop("a")).status is Status.STOPPED
            await asked.service.start("a")
            assert (await until(owner.service, "a", Status.CONNECTED)).owner == asked.replicas.name
            answer = await owner.service.logout("a")
            assert answer.unlinked
            assert engine.unlinked == [jid]

    @pytest.mark.invariant("I5")
    async def test_a_reset_through_another_replica_closes_the_owners_socket(
        self, settings: Settings, redis: RedisServer
    ) -> None:
        engine = Shared()
        async with replica(settings, engine) as owner, replica(settings, engine) as asked:
            world = MemoryWorld(owner, engine, redis)
            jid = await world.link()
            await asked.service.force_reset("a")
            await eventually(lambda: engine.unlinked == [jid], seconds=2)
            assert "a" not in owner.supervisor.sessions
            assert world.behind.auth("a") == {}
