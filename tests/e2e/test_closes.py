"""What Relink makes of each way in which WhatsApp, or the network, ends a connection."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import pytest
import pytest_asyncio

from app.errors import SessionFailed
from app.lifespan import running
from app.model import Status
from app.sessions.policy import MAX_BAD_SESSION_RETRIES, MAX_UNLINKED_RETRIES
from app.sessions.reasons import Reason, explain
from tests.support.redis_server import RedisServer
from tests.support.simulator import Simulator, Verb
from tests.support.world import WAIT_S, World, fast_settings, stretched

QUIET_MS = 1_500
"""Several times the longest backoff of the tests' settings."""


async def connects_after(world: World, number: int) -> int:
    """How many connections the simulator sees from event `number` on, until nothing has come for QUIET_MS."""
    seen = 0
    while found := await world.simulator.events(after=number, type="connect", wait_ms=QUIET_MS):
        seen += len(found)
        number = found[-1].n
    return seen


@dataclass(frozen=True)
class End:
    """A close that a linked session does not survive by itself."""

    code: int
    reason: Reason
    next_action: str
    keeps: bool
    jid: bool = True


FINAL = [
    End(403, Reason.BANNED, "check_phone", keeps=True),
    End(405, Reason.CLIENT_OUTDATED, "update", keeps=True),
    End(411, Reason.MULTIDEVICE_MISMATCH, "start", keeps=False),
]


@pytest.mark.parametrize("end", FINAL, ids=lambda end: str(end.code))
async def test_a_close_that_trying_again_cannot_mend(world: World, session: str, end: End) -> None:
    linked = await world.link(session)
    last = await world.simulator.last()
    await world.simulator.command("close", device=linked.jid, code=end.code)
    record = await world.until(session, Status.FAILED)
    assert (record.reason, record.code, record.retry_at) == (end.reason, end.code, None)
    assert explain(record).next_action == end.next_action
    assert bool(world.behind.auth(session)) is end.keeps
    assert (record.jid is not None) is end.keeps
    assert await connects_after(world, last) == 0


@pytest.mark.parametrize("end", FINAL, ids=lambda end: str(end.code))
async def test_a_login_that_is_refused_for_good(world: World, session: str, end: End) -> None:
    await world.link(session)
    await world.service.stop(session)
    await world.simulator.behave(login=end.code)
    last = await world.simulator.last()
    await world.service.start(session)
    record = await world.until(session, Status.FAILED)
    assert (record.reason, record.code) == (end.reason, end.code)
    assert bool(world.behind.auth(session)) is end.keeps
    assert await connects_after(world, last) == 1


@pytest.mark.parametrize("end", FINAL, ids=lambda end: str(end.code))
async def test_a_registration_that_is_refused_for_good(world: World, session: str, end: End) -> None:
    await world.simulator.behave(register=end.code)
    with pytest.raises(SessionFailed) as refused:
        await world.service.generate_qr(session)
    assert refused.value.next_action == end.next_action
    record = await world.service.get(session)
    assert (record.status, record.reason) == (Status.FAILED, end.reason)
    assert (await world.simulator.counters()).totals["connections"] == 1


async def test_replaced_keeps_the_link_and_does_not_fight(world: World, session: str) -> None:
    linked = await world.link(session)
    last = await world.simulator.last()
    await world.simulator.command("replace", device=linked.jid)
    record = await world.until(session, Status.FAILED)
    assert (record.reason, record.code, record.jid) == (Reason.REPLACED, 440, linked.jid)
    assert explain(record).next_action == "stop_other_instance"
    assert await connects_after(world, last) == 0
    await world.service.start(session)
    assert (await world.until(session, Status.CONNECTED)).jid == linked.jid


async def test_an_account_that_is_banned_while_linked_can_come_back(world: World, session: str) -> None:
    linked = await world.link(session)
    await world.simulator.command("ban")
    record = await world.until(session, Status.FAILED)
    assert (record.reason, record.jid) == (Reason.BANNED, linked.jid)
    await world.simulator.command("unban")
    await world.service.start(session)
    assert (await world.until(session, Status.CONNECTED)).jid == linked.jid


async def test_a_bad_session_is_tried_a_few_times_and_kept(world: World, session: str) -> None:
    await world.link(session)
    await world.service.stop(session)
    await world.simulator.behave(login=500)
    last = await world.simulator.last()
    await world.service.start(session)
    record = await world.until(session, Status.FAILED)
    assert (record.reason, record.code) == (Reason.BAD_SESSION, 500)
    assert explain(record).next_action == "force_reset"
    assert world.behind.auth(session)
    assert await connects_after(world, last) == 1 + MAX_BAD_SESSION_RETRIES


async def test_a_stream_error_without_a_code_is_a_bad_session_that_mends(world: World, session: str) -> None:
    linked = await world.link(session)
    before = await world.service.get(session)
    await world.simulator.command("close", device=linked.jid)
    record = await world.until(session, Status.RECONNECTING, Status.CONNECTING, after=before.seq)
    assert (record.reason, record.code) == (Reason.BAD_SESSION, 500)
    assert (await world.until(session, Status.CONNECTED, after=record.seq)).attempt == 0


@pytest.mark.parametrize(
    ("verb", "code", "reasons"),
    [
        ("cut", None, {Reason.CONNECTION_CLOSED, Reason.NETWORK, Reason.CONNECTION_LOST}),
        ("close", 503, {Reason.UNAVAILABLE}),
        ("close", 408, {Reason.CONNECTION_LOST}),
        ("close", 428, {Reason.CONNECTION_CLOSED}),
        ("close", 418, {Reason.UNEXPECTED_CLOSE}),
    ],
)
async def test_a_lost_connection_comes_back(
    world: World, session: str, verb: Verb, code: int | None, reasons: set[Reason]
) -> None:
    linked = await world.link(session)
    before = await world.service.get(session)
    held = world.behind.fields(session)
    await world.simulator.command(verb, device=linked.jid, code=code)
    record = await world.until(session, Status.CONNECTED, after=before.seq)
    assert (record.jid, record.attempt, record.reason) == (linked.jid, 0, None)
    entry = (await world.events(session))[before.seq]
    assert (entry.to_status, entry.reason) == (Status.RECONNECTING, entry.reason)
    assert entry.reason in reasons
    assert world.behind.fields(session) >= held
    counters = await world.simulator.counters()
    assert counters.totals["registrations"] == 1
    assert counters.totals["max_sockets_per_device"] == 1


async def test_restart_required_opens_again_at_once(world: World, session: str) -> None:
    linked = await world.link(session)
    before = await world.service.get(session)
    await world.simulator.command("close", device=linked.jid, code=515)
    record = await world.until(session, Status.CONNECTED, after=before.seq)
    assert [entry.event for entry in (await world.events(session))[before.seq :]] == ["restart", "open"]
    assert record.attempt == 0


async def test_a_storm_of_503_is_met_with_few_connections(world: World, session: str) -> None:
    """A client without a policy made 1,187 connections in 30 s of this."""
    linked = await world.link(session)
    await world.simulator.behave(login=503)
    last = await world.simulator.last()
    began = time.monotonic()
    await world.simulator.command("close", device=linked.jid, code=503)
    await world.simulator.events(after=await world.simulator.last(), type="reset", wait_ms=3_000)
    took = time.monotonic() - began
    connects = len(await world.simulator.events(after=last, type="connect"))
    # Waits are spread evenly between nothing and BACKOFF_CAP, so the mean is half of it; thrice that is no bad luck.
    assert 1 <= connects <= 3 * took / (world.relink.settings.backoff_cap / 2)
    record = await world.service.get(session)
    assert record.status in (Status.RECONNECTING, Status.CONNECTING)
    assert record.attempt >= 1

    await world.simulator.behave(login=None)
    assert (await world.until(session, Status.CONNECTED)).jid == linked.jid


@pytest.mark.parametrize("code", [503, 500])
async def test_registrations_that_are_refused_are_few(world: World, session: str, code: int) -> None:
    await world.simulator.behave(register=code)
    await world.service.start(session)
    record = await world.until(session, Status.FAILED)
    assert record.reason == (Reason.NO_QR if code == 503 else Reason.BAD_SESSION)
    last = await world.simulator.last()
    assert (await world.simulator.counters()).totals["connections"] == 1 + MAX_UNLINKED_RETRIES
    assert await connects_after(world, last) == 0
    assert world.behind.auth(session) == {}


async def test_a_whatsapp_that_cannot_be_reached_ends_in_no_qr(world: World, session: str) -> None:
    await world.simulator.behave(handshake="refuse")
    await world.service.start(session)
    record = await world.until(session, Status.FAILED)
    assert (record.reason, record.code, explain(record).next_action) == (Reason.NO_QR, None, "start")
    assert (await world.simulator.counters()).totals["upgrade_refusals"] == 1 + MAX_UNLINKED_RETRIES


async def test_an_http_401_of_some_proxy_is_no_logout(world: World, session: str) -> None:
    linked = await world.link(session)
    held = world.behind.fields(session)
    await world.simulator.behave(handshake=401)
    await world.simulator.command("cut", device=linked.jid)
    await world.simulator.wait_for("upgrade_refused")
    await world.simulator.behave(handshake=None)
    assert (await world.until(session, Status.CONNECTED)).jid == linked.jid
    assert world.behind.fields(session) >= held


async def test_a_passkey_is_said_plainly(world: World, session: str) -> None:
    await world.simulator.behave(passkey=True)
    code = await world.service.generate_qr(session)
    with pytest.raises(Exception, match="passkey"):
        await world.simulator.scan(code.text)
    record = await world.until(session, Status.FAILED)
    assert (record.reason, explain(record).next_action) == (Reason.PASSKEY_REQUIRED, "remove_passkey")
    assert world.behind.auth(session) == {}
    last = await world.simulator.last()
    assert await connects_after(world, last) == 0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hasty_world(server: RedisServer, shared_simulator: Simulator) -> AsyncIterator[World]:
    """A service whose deadlines are over within a second or two."""
    deadlines = {"start_timeout": 1, "link_timeout": 1, "connect_timeout": 1, "qr_lifetime": 0.5, "keep_alive": 1}
    settings = fast_settings(server, key_prefix="hasty", **deadlines, **shared_simulator.settings)
    async with running(settings) as relink:
        yield World(relink, shared_simulator, server)


@pytest.mark.invariant("I9")
class TestDeadlines:
    @pytest_asyncio.fixture(loop_scope="session")
    async def hasty(self, hasty_world: World, simulator: Simulator) -> AsyncIterator[World]:
        yield hasty_world
        await hasty_world.sweep()

    async def test_no_code_at_all_ends_starting(self, hasty: World, session: str) -> None:
        await hasty.simulator.behave(no_qr=True)
        await hasty.service.start(session)
        record = await hasty.until(session, Status.FAILED)
        assert record.reason == Reason.NO_QR
        assert await connects_after(hasty, await hasty.simulator.last()) == 0
        assert (await hasty.simulator.counters()).totals["sockets_open"] == 0

    @pytest.mark.invariant("I8")
    async def test_codes_that_nobody_scans_end_qr(self, hasty: World, session: str) -> None:
        """One code after the other, each with an id of its own, then the end; a client alone would go on for ever."""
        await hasty.simulator.behave(refs=3)
        await hasty.service.start(session)
        codes = []
        async with asyncio.timeout(WAIT_S), aclosing(hasty.service.follow(session)) as updates:
            async for update in updates:
                assert update.record is not None
                if update.record.status is Status.FAILED:
                    break
                if update.record.status is Status.QR:
                    codes.append(await hasty.service.current_qr(session))
        record = await hasty.service.get(session)
        assert record.reason == Reason.QR_EXPIRED
        assert [code.attempt for code in codes] == [1, 2, 3]
        assert {code.limit for code in codes} == {3}
        assert len({code.qr_id for code in codes}) == len({code.text for code in codes}) == 3
        assert (await hasty.simulator.counters()).totals["registrations"] == 1
        assert await connects_after(hasty, await hasty.simulator.last()) == 0

    async def test_a_silent_whatsapp_ends_qr(self, hasty: World, session: str) -> None:
        await hasty.service.generate_qr(session)
        await hasty.simulator.disturb("silence")
        record = await hasty.until(session, Status.FAILED, seconds=30)
        assert record.reason == Reason.QR_EXPIRED

    async def test_a_link_that_is_not_completed_is_tried_again(self, hasty: World, session: str) -> None:
        code = await hasty.service.generate_qr(session)
        await hasty.simulator.behave(handshake="silent")
        linked = await hasty.simulator.scan(code.text)
        record = await hasty.until(session, Status.RECONNECTING)
        assert record.reason == Reason.LINK_TIMEOUT
        await hasty.simulator.behave(handshake=None)
        assert (await hasty.until(session, Status.CONNECTED)).jid == linked.jid

    async def test_a_login_that_is_not_answered_is_tried_again(self, hasty: World, session: str) -> None:
        linked = await hasty.link(session)
        await hasty.service.stop(session)
        await hasty.simulator.behave(handshake="silent")
        await hasty.service.start(session)
        record = await hasty.until(session, Status.RECONNECTING)
        assert record.reason == Reason.CONNECT_TIMEOUT
        await hasty.simulator.behave(handshake=None)
        assert (await hasty.until(session, Status.CONNECTED)).jid == linked.jid

    async def test_a_connection_that_falls_silent_is_found(self, hasty: World, session: str) -> None:
        """Within twice KEEP_ALIVE and 5 s."""
        linked = await hasty.link(session)
        before = await hasty.service.get(session)
        began = time.monotonic()
        await hasty.simulator.disturb("silence")
        record = await hasty.until(session, Status.CONNECTED, after=before.seq, seconds=30)
        assert time.monotonic() - began < stretched(2 * hasty.relink.settings.keep_alive + 5 + 3)
        assert record.jid == linked.jid
        entry = (await hasty.events(session))[before.seq]
        assert (entry.to_status, entry.reason) == (Status.RECONNECTING, Reason.CONNECTION_LOST)
