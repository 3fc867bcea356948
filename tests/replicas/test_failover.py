"""A replica dies, freezes or leaves: its sessions go on elsewhere, with all they had."""

import asyncio

import httpx
import pytest

from app.model import Event, Status
from tests.support.fleet import TTL_S, Fleet, Replica, kept
from tests.support.world import stretched

GRACE_S = 3.0
"""On top of the heartbeat's time to live."""

SESSIONS = [f"s-{number}" for number in range(8)]


async def two_with_sessions(replicas: Fleet) -> tuple[Replica, Replica]:
    one, other = await replicas.start(2)
    await replicas.link(SESSIONS, [one, other])
    return one, other


async def test_killed(replicas: Fleet) -> None:
    one, other = await two_with_sessions(replicas)
    moving = await replicas.owned_by(one, SESSIONS)
    staying = await replicas.records(await replicas.owned_by(other, SESSIONS))
    assert len(moving) == len(staying) == len(SESSIONS) // 2
    before = {session: await replicas.auth_of(session) for session in SESSIONS}

    await one.kill()
    took = await replicas.until(lambda: replicas.all_are(SESSIONS, Status.CONNECTED, on=[other]))

    assert took < stretched(TTL_S + GRACE_S)
    assert await replicas.records(list(staying)) == staying
    assert all([kept(before[session], await replicas.auth_of(session)) for session in SESSIONS])
    counters = (await replicas.simulator.counters()).totals
    assert counters["replaced"] == 0
    assert counters["max_sockets_per_device"] == 1
    assert counters["registrations"] == len(SESSIONS)
    await replicas.until(lambda: _only(replicas, other))


@pytest.mark.parametrize("bridges", [False, True], ids=["alone", "with its bridge"])
async def test_frozen_and_thawed(replicas: Fleet, bridges: bool) -> None:
    one, other = await two_with_sessions(replicas)
    before = {session: await replicas.auth_of(session) for session in SESSIONS}
    moving = await replicas.owned_by(one, SESSIONS)
    assert moving

    one.freeze(bridges=bridges)
    took = await replicas.until(lambda: replicas.all_are(SESSIONS, Status.CONNECTED, on=[other]))
    assert took < stretched(TTL_S + GRACE_S)

    records = await replicas.records(SESSIONS)
    last = await replicas.simulator.last()
    one.thaw()
    await replicas.until(lambda: _answers(one))
    await replicas.until(lambda: _sockets(replicas, len(SESSIONS)))
    await replicas.until(lambda: _beats(replicas, one))

    # It carries on as an honest member, and nothing is taken from anybody.
    await replicas.link(["another"], [one])
    assert await replicas.owned_by(one, ["another"])
    await asyncio.sleep(1.5 * TTL_S)  # so long would it take to go wrong
    assert await replicas.records(SESSIONS) == records
    for session in SESSIONS:
        assert kept(before[session], await replicas.auth_of(session))
        claims = [entry for entry in await replicas.timeline(session) if entry.event is Event.CLAIM]
        assert len(claims) == (1 if session in moving else 0)
    logins = await replicas.simulator.events(after=last, type="login")
    assert len(logins) == 1  # that of "another", after its pairing


async def test_told_to_stop(replicas: Fleet) -> None:
    one, other = await two_with_sessions(replicas)
    before = {session: await replicas.auth_of(session) for session in SESSIONS}
    assert await one.stop() == 0
    assert await replicas.all_are(SESSIONS, Status.CONNECTED, on=[other])  # before it had ended

    counters = (await replicas.simulator.counters()).totals
    assert counters["replaced"] == 0
    assert counters["max_sockets_per_device"] == 1
    assert counters["registrations"] == len(SESSIONS)
    assert all([kept(before[session], await replicas.auth_of(session)) for session in SESSIONS])
    assert set(await replicas.workers()) == {other.name}
    for session in SESSIONS:
        assert [entry.event for entry in await replicas.timeline(session)].count(Event.QR) == 1  # that of the link


async def test_told_to_stop_alone_and_started_again(replicas: Fleet) -> None:
    (one,) = await replicas.start()
    await replicas.link(SESSIONS, [one])
    before = {session: await replicas.auth_of(session) for session in SESSIONS}
    last = await replicas.simulator.last()
    assert await one.stop() == 0
    assert (await replicas.simulator.counters()).totals["sockets_open"] == 0
    assert await replicas.workers() == {}

    (again,) = await replicas.start()
    await replicas.until(lambda: replicas.all_are(SESSIONS, Status.CONNECTED, on=[again]))
    assert all([kept(before[session], await replicas.auth_of(session)) for session in SESSIONS])
    assert not await replicas.simulator.events(after=last, type="registration")
    assert (await replicas.simulator.counters()).totals["replaced"] == 0


async def test_all_killed_and_started_again(replicas: Fleet) -> None:
    one, other = await two_with_sessions(replicas)
    await asyncio.gather(one.kill(), other.kill())
    new = await replicas.start(2)
    await replicas.until(lambda: replicas.all_are(SESSIONS, Status.CONNECTED, on=new))
    assert (await replicas.simulator.counters()).totals["max_sockets_per_device"] == 1


async def _answers(replica: Replica) -> bool:
    try:
        return (await replica.http.get("/health/live")).is_success
    except httpx.HTTPError:
        return False


async def _only(replicas: Fleet, replica: Replica) -> bool:
    return set(await replicas.workers()) == {replica.name}


async def _beats(replicas: Fleet, replica: Replica) -> bool:
    return replica.name in await replicas.workers()


async def _sockets(replicas: Fleet, count: int) -> bool:
    totals = (await replicas.simulator.counters()).totals
    return totals["sockets_open"] == totals["sockets_logged_in"] == count


async def test_a_login_that_was_on_its_way_when_its_replica_froze(replicas: Fleet) -> None:
    """It arrives when the replica thaws, and replaces the socket of the new owner (440): no other program is at it, so
    the new owner connects once more instead of giving up."""
    one, other = await replicas.start(2)
    linked = (await replicas.link(["s"], [one]))["s"]
    await replicas.simulator.behave(answer_delay_ms=1_500)
    await replicas.simulator.disturb("cut")
    await replicas.until(lambda: replicas.all_are(["s"], Status.CONNECTING, on=[one]))
    await replicas.simulator.wait_for("connect", after=(await replicas.simulator.last()) - 1)
    one.freeze(bridges=True)
    await replicas.simulator.behave(answer_delay_ms=None)
    await replicas.until(lambda: replicas.all_are(["s"], Status.CONNECTED, on=[other]))
    last = await replicas.simulator.last()
    one.thaw()
    await replicas.simulator.wait_for("replaced", after=last, jid=linked.jid)
    await replicas.until(lambda: _is_reconnected(replicas, "s"))
    await replicas.until(lambda: _sockets(replicas, 1))
    assert await replicas.all_are(["s"], Status.CONNECTED, on=[other])

    # When it happens again, it is another program.
    await replicas.simulator.command("replace", phone=linked.jid.partition(":")[0], device=linked.jid)
    await replicas.until(lambda: replicas.all_are(["s"], Status.FAILED))


async def _is_reconnected(replicas: Fleet, session: str) -> bool:
    events = [entry.event for entry in await replicas.timeline(session)]
    return events[-1] is Event.OPEN and events[-3] is Event.RECONNECT
