"""Logging out on request: WhatsApp is told first, then everything goes; without WhatsApp it goes all the same."""

import asyncio
import time

import pytest

from app.model import Status
from app.sessions.reasons import Reason
from tests.support.simulator import rule
from tests.support.world import World, stretched


@pytest.mark.invariant("I6")
async def test_whatsapp_is_told_before_anything_is_cleared(each_world: World, session: str) -> None:
    """Seen from outside: while WhatsApp has not taken the request in, nothing is gone; then both ends agree."""
    world = each_world
    linked = await world.link(session)
    held = world.behind.fields(session)
    await world.simulator.command("silence", device=linked.jid)

    before = await world.service.get(session)
    logout = asyncio.create_task(world.service.logout(session))
    pending = await world.until(session, Status.CONNECTED, after=before.seq)
    assert pending.jid == linked.jid
    assert world.behind.fields(session) == held
    await world.simulator.command("resume", device=linked.jid)
    answer = await logout

    assert (answer.unlinked, answer.was_linked) == (True, True)
    assert (answer.record.status, answer.record.reason) == (Status.LOGGED_OUT, Reason.API_LOGOUT)
    assert world.behind.auth(session) == {}
    assert (await world.simulator.counters()).devices[linked.jid]["unlinks"] == 1
    assert (await world.simulator.phone())["devices"] == []


@pytest.mark.invariant("I6")
async def test_a_silent_whatsapp_is_waited_for_until_the_deadline(each_world: World, session: str) -> None:
    world = each_world
    linked = await world.link(session)
    await world.simulator.behave(handshake="silent")
    await world.simulator.command("silence", device=linked.jid)
    began = time.monotonic()
    answer = await world.service.logout(session)
    took = time.monotonic() - began

    assert (answer.unlinked, answer.was_linked) == (False, True)
    assert (answer.record.status, answer.record.reason) == (Status.LOGGED_OUT, Reason.API_LOGOUT_UNCONFIRMED)
    assert 0 <= took - world.relink.settings.logout_timeout < stretched(1)
    assert world.behind.auth(session) == {}
    assert (await world.simulator.counters()).totals["unlinks"] == 0


@pytest.mark.invariant("I6")
async def test_a_request_that_was_not_heard_is_made_again(world: World, session: str) -> None:
    """Only this connection is dead; the next one tells WhatsApp, and nothing is cleared before."""
    linked = await world.link(session)
    await world.simulator.command("silence", device=linked.jid)
    answer = await world.service.logout(session)
    assert (answer.unlinked, answer.record.reason) == (True, Reason.API_LOGOUT)
    assert (await world.simulator.counters()).devices[linked.jid]["unlinks"] == 1


@pytest.mark.invariant("I6")
async def test_a_stopped_session_connects_to_say_goodbye(each_world: World, session: str) -> None:
    world = each_world
    linked = await world.link(session)
    await world.service.stop(session)
    answer = await world.service.logout(session)
    assert (answer.unlinked, answer.record.status) == (True, Status.LOGGED_OUT)
    counters = (await world.simulator.counters()).devices[linked.jid]
    assert (counters["logins"], counters["unlinks"]) == (2, 1)
    assert world.behind.auth(session) == {}


@pytest.mark.invariant("I6")
async def test_a_reconnecting_session_does_not_wait_for_its_next_try(world: World, session: str) -> None:
    """Its retry may be a minute away; the logout has seconds."""
    linked = await world.link(session)
    await world.simulator.behave(login={"answer": 503, "times": 1})
    await world.simulator.command("cut", device=linked.jid)
    await world.until(session, Status.RECONNECTING)
    answer = await world.service.logout(session)
    assert (answer.unlinked, answer.record.status) == (True, Status.LOGGED_OUT)


@pytest.mark.invariant("I6")
async def test_a_connecting_session_first_logs_in(world: World, session: str) -> None:
    await world.link(session)
    await world.service.stop(session)
    await world.simulator.behave(answer_delay_ms=200)
    await world.service.start(session)
    assert (await world.service.get(session)).status is Status.CONNECTING
    answer = await world.service.logout(session)
    assert (answer.unlinked, answer.record.reason) == (True, Reason.API_LOGOUT)


async def test_a_session_that_is_just_being_linked_is_unlinked(world: World, session: str) -> None:
    await world.simulator.behave(answer_delay_ms=150)
    code = await world.service.generate_qr(session)
    await world.simulator.scan(code.text)
    await world.until(session, Status.LINKING)
    answer = await world.service.logout(session)
    assert (answer.unlinked, answer.was_linked) == (True, True)
    assert (await world.simulator.phone())["devices"] == []


async def test_a_link_that_cannot_log_in_is_cleared_at_the_deadline(world: World, session: str) -> None:
    await world.link(session)
    await world.service.stop(session)
    await world.simulator.behave(login=503)
    began = time.monotonic()
    answer = await world.service.logout(session)
    assert time.monotonic() - began < world.relink.settings.logout_timeout + stretched(1)
    assert (answer.unlinked, answer.was_linked) == (False, True)
    assert answer.record.reason == Reason.API_LOGOUT_UNCONFIRMED
    assert world.behind.auth(session) == {}


async def test_a_link_that_whatsapp_has_forgotten_is_as_good_as_unlinked(world: World, session: str) -> None:
    linked = await world.link(session)
    await world.service.stop(session)
    await world.simulator.logout(device=linked.jid)
    answer = await world.service.logout(session)
    assert (answer.unlinked, answer.was_linked) == (True, True)


async def test_while_a_code_is_on_offer_there_is_nothing_to_unlink(world: World, session: str) -> None:
    await world.service.generate_qr(session)
    answer = await world.service.logout(session)
    assert (answer.unlinked, answer.was_linked) == (False, False)
    assert (answer.record.status, answer.record.reason) == (Status.LOGGED_OUT, Reason.API_LOGOUT)


async def test_while_starting_there_is_nothing_to_unlink(world: World, session: str) -> None:
    await world.simulator.behave(no_qr=True)
    assert (await world.service.start(session)).status is Status.STARTING
    await world.simulator.wait_for("registration")
    answer = await world.service.logout(session)
    assert (answer.was_linked, answer.record.status) == (False, Status.LOGGED_OUT)
    assert await world.simulator.wait_for("close")


async def test_a_failed_session_without_a_link_is_logged_out_at_once(world: World, session: str) -> None:
    await world.simulator.behave(register=405)
    await world.service.start(session)
    await world.until(session, Status.FAILED)
    connects = (await world.simulator.counters()).totals["connections"]
    answer = await world.service.logout(session)
    assert (answer.was_linked, answer.record.status) == (False, Status.LOGGED_OUT)
    assert answer.record.reason == Reason.API_LOGOUT
    assert (await world.simulator.counters()).totals["connections"] == connects


async def test_a_failed_session_with_a_link_says_goodbye_if_it_can(world: World, session: str) -> None:
    linked = await world.link(session)
    await world.simulator.command("replace", device=linked.jid)
    await world.until(session, Status.FAILED)
    answer = await world.service.logout(session)
    assert (answer.unlinked, answer.record.status) == (True, Status.LOGGED_OUT)


async def test_an_idle_session_stays_as_it_is(world: World, session: str) -> None:
    await world.service.generate_qr(session)
    idle = await world.service.force_reset(session)
    answer = await world.service.logout(session)
    assert (answer.unlinked, answer.was_linked, answer.record) == (False, False, idle)


async def test_two_logouts_at_once_are_one(world: World, session: str) -> None:
    linked = await world.link(session)
    first, second = await asyncio.gather(world.service.logout(session), world.service.logout(session))
    assert first.record == second.record
    assert first.unlinked
    assert second.unlinked
    assert (await world.simulator.counters()).devices[linked.jid]["unlinks"] == 1


async def test_the_phone_logs_out_at_the_same_moment(world: World, session: str) -> None:
    linked = await world.link(session)
    answer, _ = await asyncio.gather(world.service.logout(session), world.simulator.logout(device=linked.jid))
    assert answer.record.status is Status.LOGGED_OUT
    assert answer.was_linked
    assert world.behind.auth(session) == {}


async def test_reset_overtakes_a_logout_that_waits(world: World, session: str) -> None:
    linked = await world.link(session)
    await world.simulator.command("silence", device=linked.jid)
    logout = asyncio.create_task(world.service.logout(session))
    await world.simulator.events(wait_ms=200, after=await world.simulator.last())
    began = time.monotonic()
    assert (await world.service.force_reset(session)).status is Status.IDLE
    assert time.monotonic() - began < stretched(1)
    answer = await logout
    assert answer.record.status is Status.IDLE
    assert not answer.unlinked


async def test_a_logout_at_login_time_is_the_phones(world: World, session: str) -> None:
    """The phone removes the device in the instant it logs in: no unlink is sent to a connection that is gone."""
    code = await world.service.generate_qr(session)
    await world.simulator.scan(code.text, then=[rule("login", "logout")])
    record = await world.until(session, Status.LOGGED_OUT)
    assert record.reason in (Reason.PHONE_LOGOUT, Reason.LOGIN_REFUSED)
