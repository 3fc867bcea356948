"""force-reset works from everywhere: in each status, with the bridge stopped or dead, with WhatsApp silent."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from app.engine.baileys import BaileysEngine
from app.lifespan import running
from app.model import Event, Status
from app.sessions.reasons import Reason
from tests.support.redis_server import RedisServer
from tests.support.simulator import Simulator
from tests.support.world import WAIT_S, World, fast_settings, stretched

BOUND_S = 1.0
NEW_CODE_S = 10.0


async def idle(world: World, session: str) -> None:
    await world.service.generate_qr(session)
    await world.service.force_reset(session)


async def starting(world: World, session: str) -> None:
    await world.simulator.behave(no_qr=True)
    await world.service.start(session)
    await world.simulator.wait_for("registration")


async def qr(world: World, session: str) -> None:
    await world.service.generate_qr(session)


async def linking(world: World, session: str) -> None:
    code = await world.service.generate_qr(session)
    await world.simulator.behave(login=503)
    await world.simulator.behave(answer_delay_ms=300)
    await world.simulator.scan(code.text)


async def connecting(world: World, session: str) -> None:
    await world.link(session)
    await world.service.stop(session)
    await world.simulator.behave(handshake="silent")
    await world.service.start(session)


async def connected(world: World, session: str) -> None:
    await world.link(session)


async def reconnecting(world: World, session: str) -> None:
    linked = await world.link(session)
    await world.simulator.behave(handshake=503)
    await world.simulator.command("cut", device=linked.jid)


async def stopped(world: World, session: str) -> None:
    await world.link(session)
    await world.service.stop(session)


async def logged_out(world: World, session: str) -> None:
    linked = await world.link(session)
    await world.simulator.logout(device=linked.jid)


async def failed(world: World, session: str) -> None:
    linked = await world.link(session)
    await world.simulator.command("replace", device=linked.jid)


Bring = Callable[[World, str], Awaitable[None]]
WAYS: list[Bring] = [
    idle,
    starting,
    qr,
    linking,
    connecting,
    connected,
    reconnecting,
    stopped,
    logged_out,
    failed,
]


async def reset_in_time(world: World, session: str) -> None:
    """Reset; prove that it was quick and that nothing is left."""
    before = await world.service.get(session)
    began = time.monotonic()
    record = await world.service.force_reset(session)
    took = time.monotonic() - began
    assert took < stretched(BOUND_S)
    assert (record.status, record.reason, record.owner) == (Status.IDLE, Reason.FORCE_RESET, "")
    assert (record.jid, record.qr, record.deadline_at, record.intent, record.attempt) == (None, None, None, None, 0)
    assert record.epoch > before.epoch
    assert world.behind.auth(session) == {}


async def new_code_in_time(world: World, session: str) -> str:
    began = time.monotonic()
    code = await world.service.generate_qr(session, wait=stretched(NEW_CODE_S))
    assert time.monotonic() - began < stretched(NEW_CODE_S)
    return code.text


def test_there_is_a_way_to_every_status() -> None:
    assert {way.__name__ for way in WAYS} == {status.value for status in Status}


@pytest.mark.invariant("I5")
@pytest.mark.invariant("I1")
@pytest.mark.parametrize("bring", WAYS, ids=lambda way: way.__name__)
async def test_from_every_status(world: World, session: str, bring: Bring) -> None:
    await bring(world, session)
    await world.until(session, Status(bring.__name__))
    old = await world.service.get(session)
    await reset_in_time(world, session)

    await world.simulator.behave(no_qr=None, login=None, handshake=None, answer_delay_ms=None)
    text = await new_code_in_time(world, session)
    assert text != old.qr
    await world.simulator.scan(text)
    await world.until(session, Status.CONNECTED)
    events = await world.events(session)
    assert [entry.epoch for entry in events] == sorted(entry.epoch for entry in events)


@pytest.mark.invariant("I3")
@pytest.mark.parametrize("bring", [linking, connected, connecting], ids=lambda way: way.__name__)
async def test_nothing_reappears_in_redis(each_world: World, session: str, bring: Bring) -> None:
    world = each_world
    await bring(world, session)
    await world.until(session, Status(bring.__name__))
    await reset_in_time(world, session)
    keys = world.behind.keys(session)
    seq = (await world.service.get(session)).seq
    await world.simulator.behave(login=None, handshake=None, answer_delay_ms=None)

    # Whoever retries has done so by then.
    await world.simulator.events(after=await world.simulator.last(), type="connect", wait_ms=2_000)
    assert world.behind.keys(session) == keys
    assert (await world.service.get(session)).seq == seq


async def test_a_reset_link_is_ended_at_whatsapp_too(world: World, session: str) -> None:
    """Afterwards, and without anybody waiting for it: the phone does not go on listing a dead device."""
    linked = await world.link(session)
    await reset_in_time(world, session)
    await world.simulator.wait_for("unlink", jid=linked.jid)
    assert (await world.simulator.phone())["devices"] == []


@pytest.mark.invariant("I5")
async def test_with_whatsapp_silent(world: World, session: str) -> None:
    await world.link(session)
    await world.simulator.behave(handshake="silent")
    await world.simulator.disturb("silence")
    await reset_in_time(world, session)
    await world.simulator.behave(handshake=None)
    assert await new_code_in_time(world, session)


@pytest.mark.invariant("I5")
async def test_while_a_silent_whatsapp_is_asked_to_log_out(world: World, session: str) -> None:
    await world.link(session)
    await world.simulator.disturb("silence")
    logout = asyncio.create_task(world.service.logout(session))
    await world.until(session, Status.CONNECTED, after=(await world.service.get(session)).seq)
    await reset_in_time(world, session)
    assert await new_code_in_time(world, session)
    assert not (await logout).unlinked


@pytest.mark.invariant("I5")
async def test_many_times_at_once(world: World, session: str) -> None:
    await world.link(session)
    before = await world.service.get(session)
    records = await asyncio.gather(*(world.service.force_reset(session) for _ in range(20)))
    assert {record.status for record in records} == {Status.IDLE}
    assert len({record.epoch for record in records}) == 20
    assert max(record.epoch for record in records) == before.epoch + 20


@pytest.mark.invariant("I5")
async def test_while_generate_qr_waits(world: World, session: str) -> None:
    """The waiter is told, and the next call gets a code."""
    await world.simulator.behave(no_qr=True)
    waiting = asyncio.create_task(world.service.generate_qr(session, wait=WAIT_S))
    await world.simulator.wait_for("registration")
    await reset_in_time(world, session)
    with pytest.raises(Exception, match="reset"):
        await waiting
    await world.simulator.behave(no_qr=None)
    assert await new_code_in_time(world, session)


class TestBridge:
    """With a service of their own: these tests stop or kill its bridge."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def own_world(self, server: RedisServer, simulator: Simulator) -> AsyncIterator[World]:
        settings = fast_settings(server, key_prefix="own", bridge_timeout=2, **simulator.settings)
        async with running(settings) as relink:
            yield World(relink, simulator, server)

    @staticmethod
    def pid(world: World) -> int:
        assert isinstance(world.relink.engine, BaileysEngine)
        found = world.relink.engine.stats().processes[0].pid
        assert found is not None
        return found

    @pytest.mark.invariant("I5")
    @pytest.mark.parametrize("bring", [starting, qr, connecting, connected], ids=lambda way: way.__name__)
    @pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=lambda number: number.name)
    async def test_stopped_or_dead(self, own_world: World, session: str, bring: Bring, number: signal.Signals) -> None:
        world = own_world
        await bring(world, session)
        await world.until(session, Status(bring.__name__))
        os.kill(self.pid(world), number)
        await reset_in_time(world, session)
        await world.simulator.behave(no_qr=None, handshake=None)
        text = await new_code_in_time(world, session)
        await world.simulator.scan(text)
        record = await world.until(session, Status.CONNECTED)
        assert record.epoch > 0

    async def test_a_dead_bridge_is_replaced_and_linked_sessions_return(self, own_world: World, session: str) -> None:
        world = own_world
        linked = await world.link(session)
        before = await world.service.get(session)
        os.kill(self.pid(world), signal.SIGKILL)
        record = await world.until(session, Status.CONNECTED, after=before.seq)
        assert record.jid == linked.jid
        assert record.epoch == before.epoch
        path = [(e.event, e.reason) for e in (await world.events(session))[before.seq :]]
        assert path[0] == (Event.RECONNECT, Reason.NETWORK)
        assert (await world.simulator.counters()).totals["registrations"] == 1

    async def test_a_stopped_bridge_is_replaced_and_linked_sessions_return(
        self, own_world: World, session: str
    ) -> None:
        world = own_world
        linked = await world.link(session)
        before = await world.service.get(session)
        os.kill(self.pid(world), signal.SIGSTOP)
        assert (await world.until(session, Status.CONNECTED, after=before.seq)).jid == linked.jid
        assert (await world.simulator.counters()).devices[linked.jid]["replaced"] <= 1
