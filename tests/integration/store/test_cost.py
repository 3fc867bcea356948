"""What the store asks of Redis: how much, and of which keys."""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.model import AuthLayout, Change, Event, Intent, Record, Status
from app.store.auth import RedisAuthStore
from app.store.client import RedisClient
from app.store.keys import Keys
from app.store.replicas import ReplicaStore
from app.store.sessions import SessionStore
from tests.integration.store.test_sessions import link, start
from tests.support.redis_server import RedisServer

PRE_KEYS: dict[str, str | None] = {f"pre-key-{number}": json.dumps({"public": "x" * 60}) for number in range(812)}


class Watch:
    """What Redis was asked, as MONITOR saw it: whole commands of clients, and those that scripts made."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.by_scripts: list[list[str]] = []


@asynccontextmanager
async def watching(server: RedisServer, client: RedisClient) -> AsyncIterator[Watch]:
    watch = Watch()
    await client.ping()  # connected, so that the handshake is not counted
    reader, writer = await asyncio.open_unix_connection(server.socket, limit=1 << 22)
    try:
        writer.write(b"MONITOR\r\n")
        assert await reader.readline() == b"+OK\r\n"
        yield watch
        await client.execute("ECHO", "end of watch")
        while b"end of watch" not in (line := await reader.readline()):
            command = shlex.split(line.decode().partition("] ")[2])
            (watch.by_scripts if b" lua] " in line else watch.asked).append(command)
    finally:
        writer.close()


async def whole_life(store: SessionStore, auth: RedisAuthStore) -> None:
    record = await link(store, auth)
    await store.request("a", Intent.STOP, deadline_in_ms=1_000)
    claimed = await store.claim("a", expected_owner="w1", expected_epoch=record.epoch, owner="w2", deadline_in_ms=1)
    assert isinstance(claimed, Record)
    change = Change(event=Event.LOGOUT, status=Status.LOGGED_OUT, clear=True)
    assert isinstance(await store.advance("a", epoch=claimed.epoch, seq=claimed.seq, change=change), Record)
    await start(store)
    await store.reset("a")
    await store.timeline("a")
    await store.read("a")
    await store.delete("a")


async def test_scripts_touch_only_keys_of_their_session(
    redis: RedisServer, store: SessionStore, auth_store: RedisAuthStore, redis_client: RedisClient
) -> None:
    """So that each runs on one node of a Cluster."""
    async with watching(redis, redis_client) as watch:
        await whole_life(store, auth_store)
    # Some commands name several keys: all words that look like keys are looked at.
    touched = {word for command in watch.by_scripts for word in command[1:] if word.startswith("relink")}
    assert "relink:{a}" in touched
    assert touched - {"relink:changes"} == {word for word in touched if re.match(r"relink:\{a\}(:|$)", word)}
    assert all(command[1] == "relink:changes" for command in watch.by_scripts if command[0].upper() == "PUBLISH")
    for command in watch.asked:
        if command[0].upper() in {"EVAL", "EVALSHA"}:
            declared = command[3 : 3 + int(command[2])]
            assert all(re.match(r"relink:\{a\}(:|$)", key) for key in declared)
    forbidden = {"SCAN", "KEYS", "MULTI", "WATCH", "FLUSHDB"}
    assert not forbidden & {command[0].upper() for command in [*watch.asked, *watch.by_scripts]}


async def test_no_secret_leaves_the_session(
    redis: RedisServer, store: SessionStore, auth_store: RedisAuthStore, redis_client: RedisClient
) -> None:
    """Neither QR texts nor credentials appear in the timeline or in what is published."""
    async with watching(redis, redis_client) as watch:
        record = await start(store)
        await auth_store.write("a", epoch=record.epoch, values={"creds": "SECRET"})
        change = Change(event=Event.QR, status=Status.QR, set={"qr": "SECRET"}, qr_in_ms=60_000)
        await store.advance("a", epoch=record.epoch, seq=record.seq, change=change)
    told = [command for command in watch.by_scripts if command[0].upper() in {"XADD", "PUBLISH"}]
    assert len(told) == 6
    assert "SECRET" not in str(told)


async def test_all_pre_keys_of_a_link_are_one_round_trip(
    redis: RedisServer, store: SessionStore, auth_store: RedisAuthStore, redis_client: RedisClient
) -> None:
    record = await start(store)
    await auth_store.write("a", epoch=record.epoch, values={"creds": "{}"})
    await auth_store.read("a", epoch=record.epoch, fields=["creds"])
    await store.read("a")  # now Redis knows all three scripts
    async with watching(redis, redis_client) as watch:
        await auth_store.write("a", epoch=record.epoch, values=PRE_KEYS)
        await auth_store.read("a", epoch=record.epoch, fields=list(PRE_KEYS))
        await store.read("a")
    assert [command[0] for command in watch.asked] == ["EVALSHA"] * 3


async def evalsha_cost(client: RedisClient) -> tuple[int, int]:
    """(commands that scripts and clients ran since the last reset, microseconds in scripts)."""
    stats = await client.execute("INFO", "commandstats")
    calls = sum(
        stat["calls"] for name, stat in stats.items() if name not in {"cmdstat_info", "cmdstat_config|resetstat"}
    )
    return calls, stats["cmdstat_evalsha"]["usec"]


@pytest.mark.parametrize("layout", list(AuthLayout))
async def test_a_reset_costs_the_same_whatever_else_is_stored(
    store: SessionStore, redis_client: RedisClient, keys: Keys, layout: AuthLayout
) -> None:
    auth = RedisAuthStore(redis_client, keys, layout)

    async def cost_of_reset() -> tuple[int, int]:
        record = await link(store, auth)
        await auth.write("a", epoch=record.epoch, values=PRE_KEYS)
        await redis_client.execute("CONFIG", "RESETSTAT")
        await store.reset("a")
        return await evalsha_cost(redis_client)

    await cost_of_reset()
    alone = [await cost_of_reset() for _ in range(5)]
    fill = "for i = 1, 100000 do redis.call('SET', 'relink:{a' .. i .. '}:keys:creds', i) end"
    await redis_client.execute("EVAL", fill, 0)
    crowded = [await cost_of_reset() for _ in range(5)]
    assert {calls for calls, _ in alone} == {calls for calls, _ in crowded}
    assert min(usec for _, usec in crowded) < 5 * min(usec for _, usec in alone)


async def test_a_heartbeat_is_two_commands(redis: RedisServer, redis_client: RedisClient, keys: Keys) -> None:
    replicas = ReplicaStore(redis_client, keys)
    await replicas.beat("w1", {"sessions": 0}, ttl_ms=1_000)
    for session in range(100):
        await replicas.add_session("w1", str(session))
    async with watching(redis, redis_client) as watch:
        await replicas.beat("w1", {"sessions": 100}, ttl_ms=1_000)
    assert [command[0] for command in watch.asked] == ["SADD", "EVALSHA"]
