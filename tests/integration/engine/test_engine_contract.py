"""What `app.engine.base` promises, over both engines."""

import asyncio
import json

import pytest

from app.engine.base import Closed, EngineError, EngineSocket, LoggedIn, Paired, PasskeyDemanded, QrOffered
from tests.integration.engine.worlds import World
from tests.support.listeners import RecordingListener

pytestmark = pytest.mark.asyncio(loop_scope="module")

EPOCH = 7


async def link(world: World, session: str = "default") -> tuple[str, RecordingListener]:
    """A session linked and its socket closed with 515: the device's jid, and the listener with its auth state."""
    listener = RecordingListener()
    await world.engine.open(session, EPOCH, None, listener)
    qr = await listener.next(QrOffered)
    jid = await world.scan(qr.text)
    await listener.next(Paired)
    assert (await listener.next(Closed)).code == 515
    return jid, listener


async def log_in(
    world: World, linked: RecordingListener, session: str = "default"
) -> tuple[EngineSocket, RecordingListener]:
    listener = RecordingListener(linked.auth)
    socket = await world.engine.open(session, EPOCH, listener.creds, listener)
    await listener.next(LoggedIn)
    return socket, listener


async def nothing_follows(listener: RecordingListener) -> None:
    """Nothing more may be said to the listener; an engine that would do so does it at once."""
    heard = len(listener.heard)
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert listener.heard[heard:] == []


async def until_closed(world: World) -> None:
    async with asyncio.timeout(10):
        while await world.open_sockets():  # noqa: ASYNC110 - the simulator has no event for "none left"
            await asyncio.sleep(0.02)


async def test_a_new_session_is_offered_codes(world: World) -> None:
    listener = RecordingListener()
    socket = await world.engine.open("default", EPOCH, None, listener)
    qr = await listener.next(QrOffered)
    assert (qr.number, qr.limit) == (1, 6)
    assert 59_000 < qr.ttl_ms <= 60_000
    assert qr.text.startswith("https://wa.me/settings/linked_devices#2@")
    assert len(qr.text.split("#")[1].split(",")) == 5
    assert listener.writes == 0, "nothing of a device that nobody linked belongs into the store"
    await socket.close()


async def test_a_scan_writes_the_link_then_tells_then_closes_with_515(world: World) -> None:
    listener = RecordingListener()
    listener.gate.clear()
    await world.engine.open("default", EPOCH, None, listener)
    qr = await listener.next(QrOffered)
    scanning = asyncio.create_task(world.scan(qr.text))
    await asyncio.wait_for(listener.asked.wait(), 10)
    await nothing_follows(listener)
    listener.gate.set()
    paired = await listener.next(Paired)
    assert json.loads(listener.creds)["me"]["id"] == paired.jid == await scanning
    assert await listener.next(Closed) == Closed(515, "Stream Errored (restart required)")
    await nothing_follows(listener)


async def test_credentials_of_a_link_log_in(world: World) -> None:
    jid, linked = await link(world)
    socket, listener = await log_in(world, linked)
    assert isinstance(listener.heard[0], LoggedIn)
    assert listener.heard[0].jid == jid
    assert "pre-key-1" in listener.auth
    await socket.close()
    again, listener = await log_in(world, listener)
    await again.close()


async def test_the_phone_logs_the_device_out(world: World) -> None:
    jid, linked = await link(world)
    _, listener = await log_in(world, linked)
    await world.phone_logout(jid)
    assert (await listener.next(Closed)).code == 401
    await nothing_follows(listener)

    refused = RecordingListener(listener.auth)
    await world.engine.open("default", EPOCH, refused.creds, refused)
    assert await refused.next(Closed) == Closed(401, "Connection Failure")


@pytest.mark.parametrize(("given", "told"), [(503, 503), (500, 500), (None, 428)])
async def test_a_close_is_told_with_its_code(world: World, given: int | None, told: int) -> None:
    jid, linked = await link(world)
    _, listener = await log_in(world, linked)
    await world.close(jid, given)
    assert (await listener.next(Closed)).code == told
    await nothing_follows(listener)


@pytest.mark.parametrize("code", [403, 405, 503])
async def test_a_refused_login_is_told_with_its_code(world: World, code: int) -> None:
    _, linked = await link(world)
    await world.refuse_logins(code)
    listener = RecordingListener(linked.auth)
    await world.engine.open("default", EPOCH, listener.creds, listener)
    assert await listener.next(Closed) == Closed(code, "Connection Failure")


async def test_a_second_login_replaces_the_first(world: World) -> None:
    _, linked = await link(world)
    _, first = await log_in(world, linked, "one")
    socket, _ = await log_in(world, first, "two")
    assert (await first.next(Closed)).code == 440
    await socket.close()


async def test_after_close_nothing_is_heard_and_the_device_stays_linked(world: World) -> None:
    _, linked = await link(world)
    socket, listener = await log_in(world, linked)
    await socket.close()
    await socket.close()
    await until_closed(world)
    await nothing_follows(listener)
    assert await world.unlinked() == 0
    again, _ = await log_in(world, listener)
    await again.close()


async def test_close_before_anything_happened(world: World) -> None:
    listener = RecordingListener()
    socket = await world.engine.open("default", EPOCH, None, listener)
    await socket.close()
    await until_closed(world)
    await nothing_follows(listener)


async def test_logout_unlinks(world: World) -> None:
    _, linked = await link(world)
    socket, listener = await log_in(world, linked)
    assert await socket.logout() is True
    assert await world.unlinked() == 1
    await nothing_follows(listener)
    assert await socket.logout() is False
    await socket.close()
    assert listener.heard[-1:] == [listener.heard[0]]


async def test_logout_says_when_it_could_not_be_sent(world: World) -> None:
    listener = RecordingListener()
    socket = await world.engine.open("default", EPOCH, None, listener)
    await listener.next(QrOffered)
    assert await socket.logout() is False
    await until_closed(world)
    await nothing_follows(listener)
    assert await world.unlinked() == 0


async def test_logout_and_close_of_a_socket_that_has_closed(world: World) -> None:
    jid, linked = await link(world)
    socket, listener = await log_in(world, linked)
    await world.phone_logout(jid)
    await listener.next(Closed)
    assert await socket.logout() is False
    await socket.close()


async def test_a_pairing_code(world: World) -> None:
    listener = RecordingListener()
    socket = await world.engine.open("default", EPOCH, None, listener)
    with pytest.raises(EngineError, match="digits"):
        await socket.pairing_code("+49 170")
    assert len(await socket.pairing_code("491701234567")) == 8
    assert listener.writes == 0, "a code that nobody typed must leave nothing behind"
    await socket.close()
    with pytest.raises(EngineError, match="gone"):
        await socket.pairing_code("491701234567")


async def test_no_pairing_code_for_a_linked_session(world: World) -> None:
    _, linked = await link(world)
    socket, _ = await log_in(world, linked)
    with pytest.raises(EngineError, match="already linked"):
        await socket.pairing_code("491701234567")
    await socket.close()


async def test_a_passkey_is_demanded(world: World) -> None:
    await world.demand_passkeys()
    listener = RecordingListener()
    socket = await world.engine.open("default", EPOCH, None, listener)
    qr = await listener.next(QrOffered)
    await world.scan_in_vain(qr.text)
    await listener.next(PasskeyDemanded)
    await socket.close()


@pytest.mark.parametrize("creds", ["", "no json", "{}", "null", '{"noiseKey": 1}'])
async def test_credentials_that_cannot_be_read(world: World, creds: str) -> None:
    listener = RecordingListener()
    await world.engine.open("default", EPOCH, creds, listener)
    assert await listener.next(Closed) == Closed(500, "stored credentials cannot be read")
    await nothing_follows(listener)


@pytest.mark.invariant("I2")
async def test_a_stale_epoch_ends_the_socket(world: World) -> None:
    _, linked = await link(world)
    listener = RecordingListener(linked.auth)
    listener.stale = True
    before = dict(listener.auth)
    await world.engine.open("default", EPOCH, listener.creds, listener)
    assert (await listener.next(Closed)).code is None
    await until_closed(world)
    await nothing_follows(listener)
    assert listener.auth == before


async def test_a_link_that_cannot_be_stored_is_not_told(world: World) -> None:
    listener = RecordingListener()
    listener.error = RuntimeError("disk full")
    await world.engine.open("default", EPOCH, None, listener)
    qr = await listener.next(QrOffered)
    scanning = asyncio.create_task(world.scan(qr.text))
    assert await listener.next(Closed) == Closed(None, "credentials could not be stored: RuntimeError")
    await asyncio.gather(scanning, return_exceptions=True)
    await until_closed(world)


async def test_one_session_that_hangs_slows_no_other(world: World) -> None:
    stuck = RecordingListener()
    stuck.gate.clear()
    socket = await world.engine.open("stuck", EPOCH, None, stuck)
    qr = await stuck.next(QrOffered)
    scanning = asyncio.create_task(world.scan(qr.text))
    await asyncio.wait_for(stuck.asked.wait(), 10)

    _, linked = await link(world, "free")
    free, _ = await log_in(world, linked, "free")
    await free.close()

    began = asyncio.get_running_loop().time()
    await socket.close()
    assert asyncio.get_running_loop().time() - began < 6, "close is bounded, whatever the listener does"
    stuck.gate.set()
    await asyncio.gather(scanning, return_exceptions=True)
    assert [type(event) for event in stuck.heard] == [QrOffered]
