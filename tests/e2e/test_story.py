"""The story that Relink exists for: link, lose the link on the phone, be told at once, link again."""

import time
from contextlib import aclosing

import pytest

from app.model import Event, Status
from app.sessions.reasons import Reason, explain
from tests.support.world import World, stretched

QUIET_S = 3.0
"""Longer than any backoff of the tests' settings: whoever reopens by himself has done so by then."""


async def test_a_scan_links_the_session(each_world: World, session: str) -> None:
    world = each_world
    code = await world.service.generate_qr(session)
    assert (code.attempt, code.limit) == (1, 6)
    linked = await world.simulator.scan(code.text)
    record = await world.until(session, Status.CONNECTED)

    assert (record.jid, record.platform) == (linked.jid, "android")
    assert (record.reason, record.code, record.qr, record.deadline_at, record.attempt) == (None, None, None, None, 0)
    assert "creds" in world.behind.fields(session)
    path = [(entry.event, entry.to_status) for entry in await world.events(session)]
    assert path == [
        (Event.CREATED, Status.IDLE),
        (Event.START, Status.STARTING),
        (Event.QR, Status.QR),
        (Event.PAIRED, Status.LINKING),
        (Event.RESTART, Status.LINKING),
        (Event.OPEN, Status.CONNECTED),
    ]


async def test_the_client_uploads_its_keys_and_they_are_kept(each_world: World, session: str) -> None:
    await each_world.link(session)
    fields = each_world.behind.fields(session)
    assert len([field for field in fields if field.startswith("pre-key-")]) == 812


@pytest.mark.invariant("I3")
@pytest.mark.invariant("I4")
async def test_phone_logout_clears_within_a_second_and_stays(each_world: World, session: str) -> None:
    world = each_world
    linked = await world.link(session)
    before = await world.simulator.last()

    async with aclosing(world.service.follow(session)) as updates:
        await anext(updates)
        began = time.monotonic()
        await world.simulator.logout(device=linked.jid)
        update = await anext(updates)
    assert time.monotonic() - began < stretched(1)
    assert update.record is not None
    assert (update.record.status, update.record.reason, update.record.code) == ("logged_out", "phone_logout", 401)
    assert update.record.jid is None
    assert explain(update.record).next_action == "start"
    assert world.behind.auth(session) == {}

    assert await world.simulator.events(after=before, type="connect", wait_ms=round(QUIET_S * 1000)) == []
    assert world.behind.auth(session) == {}
    assert (await world.service.get(session)).seq == update.record.seq


async def test_after_a_phone_logout_generate_qr_gives_a_new_code_and_a_new_link(
    each_world: World, session: str
) -> None:
    world = each_world
    first = await world.service.generate_qr(session)
    linked = await world.simulator.scan(first.text)
    await world.until(session, Status.CONNECTED)
    await world.simulator.logout(device=linked.jid)
    await world.until(session, Status.LOGGED_OUT)

    second = await world.service.generate_qr(session)
    assert second.text != first.text
    assert second.qr_id != first.qr_id
    again = await world.simulator.scan(second.text)
    record = await world.until(session, Status.CONNECTED)
    assert record.jid == again.jid != linked.jid


@pytest.mark.invariant("I4")
async def test_a_logout_while_offline_is_learnt_at_the_next_login(each_world: World, session: str) -> None:
    world = each_world
    linked = await world.link(session)
    await world.service.stop(session)
    await world.simulator.logout(device=linked.jid)

    await world.service.start(session)
    record = await world.until(session, Status.LOGGED_OUT)
    assert record.reason == Reason.LOGIN_REFUSED
    assert world.behind.auth(session) == {}
    assert await world.simulator.events(after=await world.simulator.last(), type="connect", wait_ms=1_500) == []


async def test_generate_qr_finds_out_that_the_link_is_gone_and_gives_a_code(world: World, session: str) -> None:
    """The caller meets a session that is just logging in with a link that the phone has ended."""
    linked = await world.link(session)
    await world.service.stop(session)
    await world.simulator.logout(device=linked.jid)
    await world.simulator.behave(answer_delay_ms=100)
    await world.service.start(session)
    assert (await world.service.generate_qr(session)).text
    assert (await world.service.get(session)).status is Status.QR


async def test_stop_keeps_the_link_and_start_needs_no_code(each_world: World, session: str) -> None:
    world = each_world
    linked = await world.link(session)
    before = world.behind.fields(session)
    newest = await world.simulator.last()
    stopped = await world.service.stop(session)
    assert (stopped.status, stopped.reason, stopped.jid) == (Status.STOPPED, Reason.STOP_REQUESTED, linked.jid)
    await world.simulator.wait_for("close", after=newest)
    assert (await world.simulator.counters()).devices[linked.jid]["sockets_open"] == 0
    assert world.behind.fields(session) >= before

    await world.service.start(session)
    assert (await world.until(session, Status.CONNECTED)).jid == linked.jid
    counters = await world.simulator.counters()
    assert counters.totals["registrations"] == 1
    assert counters.devices[linked.jid]["max_sockets"] == 1


async def test_starting_a_live_session_changes_nothing(world: World, session: str) -> None:
    await world.link(session)
    before = await world.service.get(session)
    assert await world.service.start(session) == before
    assert (await world.simulator.counters()).totals["logins"] == 1
