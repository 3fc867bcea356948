"""The runners of a replica: one for each session it owns, none left behind."""

import asyncio
import time

import pytest

from app.engine.memory import MemoryEngine, MemorySocket
from app.lifespan import running
from app.model import Event, Record, Status
from app.sessions.deadline import Deadline
from app.sessions.supervisor import Supervisor
from app.settings import Settings
from app.store.sessions import SessionStore
from tests.support.memory_world import MemoryWorld
from tests.support.redis_server import RedisServer
from tests.support.world import eventually, stretched


async def test_a_session_runs_while_it_has_something_to_run_for(world: MemoryWorld) -> None:
    supervisor = world.relink.supervisor
    await world.service.generate_qr("a")
    assert supervisor.sessions == {"a"}
    await world.service.stop("a")
    await eventually(lambda: not supervisor.sessions)


async def test_however_often_it_is_woken_it_runs_once(world: MemoryWorld) -> None:
    await world.service.generate_qr("a")
    for _ in range(10):
        world.relink.supervisor.wake("a")
    await world.until("a", Status.QR)
    assert world.engine.counts["opens"] == 1
    assert [task.get_name() for task in asyncio.all_tasks()].count("session a") == 1


async def test_waking_what_is_not_ones_own_starts_nothing(world: MemoryWorld) -> None:
    await world.relink.store.start("a", owner="other", starting_in_ms=60_000, connecting_in_ms=60_000)
    world.relink.supervisor.wake("a")
    world.relink.supervisor.wake("nobody")
    await eventually(lambda: not world.relink.supervisor.sessions)
    assert world.engine.counts["opens"] == 0


async def test_a_session_that_is_placed_here_by_others_is_taken_up(world: MemoryWorld) -> None:
    """The notice of the store is all it takes."""
    me = world.relink.replicas.name
    await world.relink.store.start("a", owner=me, starting_in_ms=60_000, connecting_in_ms=60_000)
    assert (await world.until("a", Status.QR)).owner == me


async def test_leaving_closes_each_socket_before_it_lets_go(
    settings: Settings, engine: MemoryEngine, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_at_release: list[bool] = []
    advance = SessionStore.advance

    async def noted(store: SessionStore, id: str, **named: object) -> object:
        if named["change"].event is Event.RELEASE:  # type: ignore[attr-defined]
            open_at_release.append(id in engine.sockets)
        return await advance(store, id, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(SessionStore, "advance", noted)
    async with running(settings, make_engine=lambda _: engine) as relink:
        world = MemoryWorld(relink, engine, redis)
        for session in ("a", "b"):
            await world.link(session)
    assert open_at_release == [False, False]
    assert engine.unlinked == []
    async with running(settings, make_engine=lambda _: engine) as relink:
        again = MemoryWorld(relink, engine, redis)
        for session in ("a", "b"):
            record = await again.until(session, Status.CONNECTED)
            assert record.owner == relink.replicas.name


async def test_leaving_is_bounded_when_a_socket_does_not_close(
    settings: Settings, engine: MemoryEngine, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(socket: MemorySocket) -> None:
        await asyncio.sleep(60)

    with monkeypatch.context() as patch:
        brief = settings.model_copy(update={"shutdown_timeout": 0.3})
        async with running(brief, make_engine=lambda _: engine) as relink:
            await MemoryWorld(relink, engine, redis).link()
            socket = engine.sockets["a"]
            close = socket.close
            patch.setattr(MemorySocket, "close", never)
            began = time.monotonic()
            engine._open.clear()
        assert time.monotonic() - began < stretched(2)
    await close()


async def test_leaving_sees_background_work_through_or_ends_it() -> None:
    supervisor = Supervisor()
    ended: list[str] = []

    async def work(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        ended.append(name)

    async def cut_off() -> None:
        """As a runner that is cut off: it has its socket closed, and nobody is left to wait for that."""
        try:
            await work(60, "long")
        finally:
            supervisor.aside(work(60, "late"))

    supervisor.aside(work(0.05, "short"))
    supervisor.aside(cut_off())
    await supervisor.close(Deadline(0.2))
    assert ended == ["short"]


async def test_a_record_that_is_gone_ends_its_runner(world: MemoryWorld) -> None:
    await world.link()
    await world.service.delete("a")
    await eventually(lambda: not world.relink.supervisor.sessions)


async def test_moving_a_session_lets_go_of_it_and_nothing_else(world: MemoryWorld) -> None:
    """With nobody else to take it, this replica takes it again."""
    jid = await world.link("a")
    await world.link("b")
    before: Record = await world.service.get("b")
    last = await world.service.get("a")
    world.relink.supervisor.release("a")
    record = await world.until("a", Status.CONNECTED, after=last.seq)
    assert (record.jid, record.owner) == (jid, last.owner)
    assert record.epoch > last.epoch
    assert await world.service.get("b") == before
