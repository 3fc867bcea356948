"""Redis away, full, restarted: one error, in bounded time, and no change done twice."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import InvalidSessionId, StoreUnavailable
from app.model import AuthLayout, Change, Event, Intent, Record, Status
from app.store.auth import RedisAuthStore
from app.store.client import RedisClient, connect
from app.store.keys import Keys
from app.store.sessions import Conflict, SessionStore, Started, new_call
from tests.integration.store.test_sessions import link, start
from tests.support.redis_server import RedisServer, redis_server


async def test_no_redis_is_one_clear_error_in_bounded_time(tmp_path: Path) -> None:
    async with connect(f"unix://{tmp_path}/nobody", timeout=0.3) as client:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await client.ping()
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", ""])
async def test_an_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="redis://"):
        async with connect(url, timeout=1):
            pass


async def test_a_silent_redis_is_given_up_and_found_again() -> None:
    with redis_server() as server:
        async with connect(server.url, timeout=0.3) as client:
            await client.ping()
            server.process.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(StoreUnavailable):
                    await client.ping()
            finally:
                server.process.send_signal(signal.SIGCONT)
            await client.ping()


async def test_a_restart_in_between_is_not_noticed(redis: RedisServer, redis_client: RedisClient) -> None:
    await redis_client.ping()
    for _ in range(3):
        with redis.client() as other:
            other.client_kill_filter(_type="normal", skipme=True)
        await redis_client.ping()


async def test_scripts_survive_a_flush_of_the_script_cache(store: SessionStore, redis_client: RedisClient) -> None:
    record = await start(store)
    await redis_client.execute("SCRIPT", "FLUSH")
    reading = await store.read("a")
    assert reading is not None
    assert reading.record == record


@pytest.mark.invariant("I5")
async def test_clearing_works_where_memory_is_full(
    store: SessionStore, auth_store: RedisAuthStore, redis_client: RedisClient
) -> None:
    record = await link(store, auth_store)
    await link(store, auth_store, "b")
    await redis_client.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await auth_store.write("a", epoch=record.epoch, values={"creds": "new"})
        with pytest.raises(StoreUnavailable):
            await store.start("c", owner="w1", starting_in_ms=1, connecting_in_ms=1)
        with pytest.raises(StoreUnavailable):
            await store.advance(
                "a", epoch=record.epoch, seq=record.seq, change=Change(event=Event.STOP, status=Status.STOPPED)
            )
        reading = await store.read("a")
        assert reading is not None
        assert reading.record == record
        clear = Change(event=Event.LOGOUT, status=Status.LOGGED_OUT, clear=True)
        assert isinstance(await store.advance("a", epoch=record.epoch, seq=record.seq, change=clear), Record)
        reset = await store.reset("b", create=True)
        assert reset is not None
        assert reset.status is Status.IDLE
        with pytest.raises(StoreUnavailable):
            await store.reset("c", create=True)
    finally:
        await redis_client.execute("CONFIG", "SET", "maxmemory", 0)


class Cutter:
    """Between client and Redis: forwards, but of the answers to scripts it drops as many as asked, and then cuts."""

    def __init__(self, server: RedisServer, path: Path) -> None:
        self.url = f"unix://{path}"
        self.cut = 0
        self._server = server
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Cutter":
        self._listener = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        back_reader, back_writer = await asyncio.open_unix_connection(self._server.socket)
        try:
            while asked := await reader.read(1 << 20):
                back_writer.write(asked)
                answer = await back_reader.read(1 << 20)
                if b"EVAL" in asked and self.cut > 0 and not answer.startswith(b"-"):
                    self.cut -= 1
                    return
                writer.write(answer)
        finally:
            back_writer.close()
            writer.close()


@pytest.fixture
async def cutter(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Cutter]:
    async with Cutter(redis, tmp_path / "s") as cutter:
        yield cutter


async def test_a_call_can_be_cancelled_at_any_moment(redis_client: RedisClient) -> None:
    """Else a service that stops waits for ever for a task that goes on."""
    await redis_client.ping()
    for steps in range(30):
        call = asyncio.create_task(redis_client.ping())
        for _ in range(steps):
            await asyncio.sleep(0)
        if call.done():
            break
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.invariant("I7")
async def test_an_answer_that_is_lost_does_not_repeat_the_change(cutter: Cutter, keys: Keys) -> None:
    async with connect(cutter.url, timeout=5) as client:
        store, auth = SessionStore(client, keys), RedisAuthStore(client, keys, AuthLayout.KEYS)
        cutter.cut = 1
        started = await store.start("a", owner="w1", starting_in_ms=30_000, connecting_in_ms=1)
        assert started == Started(started.record, fresh=True)
        cutter.cut = 1
        await auth.write("a", epoch=started.record.epoch, values={"creds": "{}"})
        cutter.cut = 2
        change = Change(event=Event.QR, status=Status.QR, qr_in_ms=1_000, bump=True)
        shown = await store.advance("a", epoch=started.record.epoch, seq=started.record.seq, change=change)
        assert isinstance(shown, Record)
        cutter.cut = 1
        claimed = await store.claim("a", expected_owner="w1", expected_epoch=shown.epoch, owner="w2", deadline_in_ms=1)
        assert isinstance(claimed, Record)
        cutter.cut = 1
        reset = await store.reset("a")
        assert reset is not None
        assert cutter.cut == 0
        assert reset.epoch == started.record.epoch + 3
        events = [entry.event for entry in await store.timeline("a")]
        assert events == [Event.CREATED, Event.START, Event.QR, Event.CLAIM, Event.RESET]


@pytest.mark.invariant("I7")
async def test_a_call_that_is_repeated_is_known_although_others_came_in_between(store: SessionStore) -> None:
    """Whoever gave up on an answer, and calls again under the same name, does not do it twice."""
    record = await start(store)
    call = new_call()
    offer = Change(event=Event.QR, status=Status.QR, qr_in_ms=60_000)
    shown = await store.advance("a", epoch=record.epoch, seq=record.seq, change=offer, call=call)
    asked = await store.request("a", Intent.STOP, deadline_in_ms=60_000)
    asked = await store.request("a", Intent.LOGOUT, deadline_in_ms=60_000)
    assert isinstance(shown, Record)
    assert asked is not None
    assert asked.seq == shown.seq + 2
    assert await store.advance("a", epoch=record.epoch, seq=record.seq, change=offer, call=call) == asked
    assert await store.advance("a", epoch=record.epoch, seq=record.seq, change=offer) == Conflict(asked)
    await store.reset("a")
    later = await store.advance("a", epoch=record.epoch, seq=record.seq, change=offer, call=call)
    assert isinstance(later, Record)
    assert later.status is Status.IDLE


async def test_a_repeated_delete_spares_a_new_session_of_that_name(
    store: SessionStore, redis_client: RedisClient, keys: Keys
) -> None:
    first = await start(store)
    arguments: list[str | int] = ["call", first.created_at]
    assert await store.delete("a")
    second = await start(store)
    assert second.created_at > first.created_at
    assert (await redis_client.script("delete", keys.of_scripts("a"), arguments))[0] == "unknown"
    reading = await store.read("a")
    assert reading is not None
    assert reading.record == second


@pytest.mark.invariant("I11")
@pytest.mark.parametrize("id", ["", "-a", "a b", "a}", "{a", "a:b", "a*", "é", "a" * 65, "a\n"])
async def test_what_is_no_id_reaches_no_key(store: SessionStore, redis_client: RedisClient, id: str) -> None:
    with pytest.raises(InvalidSessionId):
        await store.ensure(id)
    assert await redis_client.execute("DBSIZE") == 0
