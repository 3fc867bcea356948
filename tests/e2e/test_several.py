"""Many sessions at once: what happens to one does nothing to the others."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from app.errors import RelinkError
from app.model import SOCKET, Status
from tests.support.world import World, stretched

NewSession = Callable[[], str]


async def link_many(world: World, sessions: list[str]) -> dict[str, str]:
    """Link each session to a phone of its own. Returns their jids."""
    phones = [await world.simulator.add_phone() for _ in sessions]
    linked = await asyncio.gather(*(world.link(*pair) for pair in zip(sessions, phones, strict=True)))
    return {session: device.jid for session, device in zip(sessions, linked, strict=True)}


async def sockets(world: World) -> dict[str, int]:
    """The simulator's number of the socket of each device."""
    return {socket["jid"]: socket["id"] for socket in await world.simulator.sockets() if socket["jid"]}


async def test_resetting_one_leaves_the_others_alone(each_world: World, new_session: NewSession) -> None:
    world = each_world
    one, *others = [new_session() for _ in range(4)]
    jids = await link_many(world, [one, *others])
    online = await sockets(world)
    digests = {session: world.behind.digest(session) for session in others}
    records = {session: await world.service.get(session) for session in others}
    last = await world.simulator.last()

    await world.service.force_reset(one)
    await world.simulator.wait_for("unlink", jid=jids[one], after=last)
    assert (await world.service.generate_qr(one)).text

    assert {jid: id for jid, id in (await sockets(world)).items() if jid != jids[one]} == {
        jids[session]: online[jids[session]] for session in others
    }
    assert {session: world.behind.digest(session) for session in others} == digests
    assert {session: await world.service.get(session) for session in others} == records


async def test_a_phone_logout_of_one_leaves_the_others_alone(world: World, new_session: NewSession) -> None:
    """Two sessions linked to the same phone: two devices of one account."""
    one, other = new_session(), new_session()
    first = await world.link(one)
    second = await world.link(other)
    online, digest = await sockets(world), world.behind.digest(other)
    await world.simulator.logout(device=first.jid)
    await world.until(one, Status.LOGGED_OUT)
    assert (await world.service.get(other)).status is Status.CONNECTED
    assert (await sockets(world))[second.jid] == online[second.jid]
    assert world.behind.digest(other) == digest


async def test_names_that_begin_alike_are_different_sessions(world: World, new_session: NewSession) -> None:
    one = new_session()
    others = [f"{one}-2", f"{one}.x", f"{one}_"]
    await link_many(world, [one, *others])
    digests = {session: world.behind.digest(session) for session in others}
    await world.service.force_reset(one)
    assert {session: world.behind.digest(session) for session in others} == digests


@pytest.mark.invariant("I7")
async def test_timelines_are_numbered_without_gaps_whatever_happens_at_once(
    each_world: World, new_session: NewSession
) -> None:
    world = each_world
    sessions = [new_session() for _ in range(3)]

    service = world.service
    asks: list[Callable[[str], Awaitable[object]]] = [
        service.start,
        service.generate_qr,
        service.force_reset,
        service.logout,
        service.start,
        service.stop,
    ]

    async def pester(session: str, ask: Callable[[str], Awaitable[object]]) -> None:
        with suppress(RelinkError):  # a waiter whose session another call resets is told so
            await ask(session)

    for _ in range(6):
        await asyncio.gather(*(pester(session, ask) for session in sessions for ask in asks))
    for session in sessions:
        record = await world.service.get(session)
        entries = await world.events(session)
        assert [entry.seq for entry in entries] == list(range(1, record.seq + 1))
        assert len(entries) > 10
        for before, after in itertools.pairwise(entries):
            assert after.from_status == before.to_status
            assert after.epoch >= before.epoch
        await world.service.force_reset(session)


async def test_a_follower_hears_each_transition_once_and_in_order(world: World, session: str) -> None:
    heard: list[int] = []

    async def follow() -> None:
        async for update in world.service.follow(session, 0):
            heard.extend(entry.seq for entry in update.transitions)
            if update.record is None:
                return

    await world.service.start(session)
    following = asyncio.create_task(follow())
    linked = await world.link(session)
    await world.simulator.logout(device=linked.jid)
    record = await world.until(session, Status.LOGGED_OUT)
    await world.service.delete(session)
    await asyncio.wait_for(following, 10)
    assert heard == list(range(1, record.seq + 1))


async def test_sessions_that_hang_slow_no_other(world: World, new_session: NewSession) -> None:
    """Ten sessions wait for a WhatsApp that never answers them; the next one is linked as if they were not there."""
    await world.simulator.behave(no_qr=True)
    hanging = [new_session() for _ in range(10)]
    await asyncio.gather(*(world.service.start(session) for session in hanging))
    last = 0
    for _ in hanging:
        last = (await world.simulator.wait_for("registration", after=last)).n
    await world.simulator.disturb("silence")
    await world.simulator.behave(no_qr=None)

    session = new_session()
    began = time.monotonic()
    await world.link(session)
    assert time.monotonic() - began < stretched(5)
    assert {(await world.service.get(other)).status for other in hanging} <= SOCKET | {Status.FAILED}


async def test_a_session_that_loops_slows_no_other(world: World, new_session: NewSession) -> None:
    """One session is thrown out with 515 again and again, as fast as it returns."""
    loops, session = new_session(), new_session()
    linked = await world.link(loops)

    async def torment() -> None:
        while True:
            login = await world.simulator.wait_for("login", jid=linked.jid, after=await world.simulator.last())
            await world.simulator.command("close", device=login.jid, code=515)

    tormentor = asyncio.create_task(torment())
    await world.simulator.command("close", device=linked.jid, code=515)
    began = time.monotonic()
    await world.link(session, await world.simulator.add_phone())
    assert time.monotonic() - began < stretched(5)
    tormentor.cancel()
    await asyncio.wait({tormentor})


async def test_a_flood_of_calls_for_one_session_slows_no_other(world: World, new_session: NewSession) -> None:
    flooded, session = new_session(), new_session()
    done = asyncio.Event()

    async def flood() -> None:
        while not done.is_set():
            await world.service.force_reset(flooded)
            await world.service.start(flooded)

    await world.service.start(flooded)
    floods = [asyncio.create_task(flood()) for _ in range(4)]
    began = time.monotonic()
    await world.link(session)
    took = time.monotonic() - began
    done.set()
    await asyncio.gather(*floods)
    assert took < stretched(5)


async def test_ten_at_once(world: World, new_session: NewSession) -> None:
    sessions = [new_session() for _ in range(10)]
    jids = await link_many(world, sessions)
    counters = await world.simulator.counters()
    assert counters.totals["logins"] == counters.totals["registrations"] == 10
    assert counters.totals["max_sockets_per_device"] == 1
    assert len(set(jids.values())) == 10
