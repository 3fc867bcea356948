"""A master dies, freezes or steps down, and another takes its place: under Sentinel, and in a Cluster."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress

import pytest

from app.errors import StoreUnavailable
from app.model import AuthLayout, Change, Event, Record, StaleEpoch, Status
from app.store.auth import RedisAuthStore
from app.store.changes import ChangeNotice, Changes, Resubscribed
from app.store.client import RedisClient, connect
from app.store.keys import Keys
from app.store.sessions import SessionStore
from tests.support.fleet import Fleet, fleet
from tests.support.keys import all_keys
from tests.support.redis_cluster import ClusterServer, redis_cluster
from tests.support.redis_node import RedisNode
from tests.support.redis_sentinel import NAME, SentinelServer, redis_sentinel
from tests.support.simulator import Simulator
from tests.support.witness import all_pre_keys_kept, standing, stands_as

KEYS = Keys("relink")
BACK_S = 20.0
"""Sentinels and Clusters of these tests need some two seconds, on a machine with nothing else to do."""


@pytest.fixture
def sentinel() -> Iterator[SentinelServer]:
    with redis_sentinel() as started:
        yield started


@pytest.fixture
def cluster() -> Iterator[ClusterServer]:
    with redis_cluster(replicas=True) as started:
        yield started


class Writer:
    """Writes auth state as a socket does: one field after another, each until it is written."""

    def __init__(self, client: RedisClient, session: str = "a") -> None:
        self.written = 0
        self.refused = 0
        self._session = session
        self._store = SessionStore(client, KEYS)
        self._auth = RedisAuthStore(client, KEYS, AuthLayout.KEYS)

    async def __aenter__(self) -> "Writer":
        started = await self._store.start(self._session, owner="w", starting_in_ms=60_000, connecting_in_ms=60_000)
        self.epoch = started.record.epoch
        self._task = asyncio.create_task(self._write())
        await self.more(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _write(self) -> None:
        while True:
            try:
                await self._auth.write(
                    self._session, epoch=self.epoch, values={f"pre-key-{self.written}": str(self.written)}
                )
                self.written += 1
            except StoreUnavailable:
                self.refused += 1
            except StaleEpoch:
                return
            await asyncio.sleep(0.01)

    async def more(self, count: int = 20, seconds: float = BACK_S) -> float:
        """Return when so many more were written; answers the seconds that took."""
        began, wanted = time.monotonic(), self.written + count
        while self.written < wanted:
            assert not self._task.done(), self._task
            assert time.monotonic() - began < seconds, f"{self.written} written, {self.refused} refused"
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def lost(self) -> list[str]:
        """Fields that were said to be written and are not there."""
        names = [f"pre-key-{number}" for number in range(self.written)]
        found = await self._auth.read(self._session, epoch=self.epoch, fields=names)
        return [name for name in names if name not in found]


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_sentinel_replaces_a_master(sentinel: SentinelServer, how: str) -> None:
    old = sentinel.master
    async with connect(sentinel.url, timeout=3) as client, Writer(client) as writer:
        getattr(old, how)()
        try:
            await writer.more()
            assert sentinel.master is not old
            assert await writer.lost() == []
            reset = await SessionStore(client, KEYS).reset("a")
            assert reset is not None
            assert reset.status is Status.IDLE
        finally:
            if how == "freeze":
                old.thaw()


async def test_a_master_that_steps_down_answers_readonly(sentinel: SentinelServer) -> None:
    """Every connection to it is of no more use, however alive; nobody notices more than a delay."""
    old = sentinel.master
    async with connect(sentinel.url, timeout=10) as client, Writer(client) as writer:
        with sentinel.sentinels[0].client() as asking:
            asking.execute_command("SENTINEL FAILOVER", NAME)
        while sentinel.master is old:
            await writer.more(1)
        await writer.more()
        assert writer.refused == 0
        assert await writer.lost() == []


async def test_one_server_that_becomes_a_replica_is_left(sentinel: SentinelServer) -> None:
    """A single address behind which the servers change: READONLY means to connect anew, not to fail for ever."""
    old, new = sentinel.servers
    async with connect(old.url, timeout=5) as client:
        await client.execute("SET", "x", 1)
        with old.client() as asking, new.client() as other:
            other.execute_command("REPLICAOF", "NO", "ONE")
            asking.execute_command("REPLICAOF", "127.0.0.1", str(new.port))
            pending = asyncio.create_task(client.script("ensure", KEYS.of_scripts("a"), ["call"]))
            await asyncio.sleep(0.3)
            assert not pending.done()
            asking.execute_command("REPLICAOF", "NO", "ONE")
        assert (await pending)[0] == "created"


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_cluster_replaces_a_master(cluster: ClusterServer, how: str) -> None:
    old = cluster.master_of(KEYS.record("a"))
    other = next(f"s{n}" for n in range(100) if cluster.master_of(KEYS.record(f"s{n}")) is not old)
    async with (
        connect(cluster.url, timeout=3) as client,
        Writer(client) as writer,
        Writer(client, other) as untouched,
        aclosing(aiter(Changes(client, KEYS))) as changes,  # type: ignore[type-var]
    ):
        await anext(changes)
        getattr(old, how)()
        try:
            await asyncio.gather(writer.more(), untouched.more())
            assert await writer.lost() == [] == await untouched.lost()
            assert await SessionStore(client, KEYS).reset("a") is not None
            await told(changes, "a", or_missed=True)
            assert await all_keys(client, "relink:{*}") == {KEYS.record("a"), KEYS.record(other)}
        finally:
            if how == "freeze":
                old.thaw()


async def told(changes: AsyncIterator[object], session: str, *, or_missed: bool = False) -> None:
    """Return when the session's reset is told, whatever came before; with `or_missed` also when it is said that it may
    have been missed."""
    async with asyncio.timeout(BACK_S):
        async for change in changes:
            if or_missed and isinstance(change, Resubscribed):
                return
            if isinstance(change, ChangeNotice) and (change.id, change.status) == (session, Status.IDLE):
                return


async def test_news_come_though_the_node_that_brought_them_died(cluster: ClusterServer) -> None:
    """Published at any node, heard at any other: the one that is listened to is replaced by another."""
    async with connect(cluster.url, timeout=5) as client, aclosing(aiter(Changes(client, KEYS))) as changes:  # type: ignore[type-var]
        await anext(changes)
        listened = next(node for node in cluster.nodes if _subscribers(node))
        listened.kill()
        store = SessionStore(client, KEYS)
        session = next(f"s{n}" for n in range(100) if cluster.master_of(KEYS.record(f"s{n}")) is not listened)
        assert await store.ensure(session)
        await anext(changes)  # subscribed anew
        await store.reset(session)
        await told(changes, session)


def _subscribers(node: RedisNode) -> int:
    with node.client() as client:
        return int(client.execute_command("PUBSUB NUMSUB", KEYS.changes)[0][1])


async def test_a_slot_moves_to_another_node(cluster: ClusterServer) -> None:
    """MOVED is followed, and a script's keys move together."""
    source = cluster.master_of(KEYS.record("a"))
    target = next(node for node in cluster.masters if node is not source)
    async with connect(cluster.url, timeout=10) as client, Writer(client) as writer:
        await asyncio.to_thread(cluster.move_slot, KEYS.record("a"), source, target)
        await writer.more()
        assert await writer.lost() == []
        store = SessionStore(client, KEYS)
        change = Change(event=Event.FAIL, status=Status.FAILED, clear=True)
        reading = await store.read("a")
        assert reading is not None
        answer = await store.advance("a", epoch=writer.epoch, seq=reading.record.seq, change=change)
        assert isinstance(answer, Record)


async def test_sessions_stay_online_while_sentinel_replaces_the_master(
    sentinel: SentinelServer, simulator: Simulator
) -> None:
    async with fleet(sentinel.url, simulator, REDIS_TIMEOUT="2") as replicas:
        await through_a_failover(replicas, sentinel.master.kill)


async def test_sessions_stay_online_while_a_cluster_replaces_a_master(
    cluster: ClusterServer, simulator: Simulator
) -> None:
    async with fleet(cluster.url, simulator, REDIS_TIMEOUT="2") as replicas:
        await through_a_failover(replicas, cluster.master_of(KEYS.record("a")).kill)


async def through_a_failover(replicas: Fleet, strike: Callable[[], None]) -> None:
    one, two = await replicas.start(2)
    sessions = ["a", "b", "c"]
    await replicas.link(sessions, [one, two])
    before = await standing(replicas, sessions)
    strike()
    began = time.monotonic()
    while (answer := await two.http.post("/sessions/new/qr")).status_code == 503:
        assert answer.headers["retry-after"]
        assert time.monotonic() - began < BACK_S
    assert answer.status_code == 200, answer.text
    linked = await replicas.simulator.scan(answer.json()["text"])
    await replicas.until(lambda: replicas.all_are([*sessions, "new"], Status.CONNECTED))
    await replicas.simulator.wait_for("digest", jid=linked.jid)
    await asyncio.sleep(4)  # longer than REPLICA_TTL: nobody takes over what is not his
    await stands_as(replicas, before)
    await all_pre_keys_kept(replicas, replicas.simulator, [*sessions, "new"])
