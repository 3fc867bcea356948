"""How the work is shared: caps, new replicas, and takeovers that are no storm."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from app.model import Event, Status
from app.sessions.handover import TOLERANCE
from tests.support.fleet import TTL_S, Fleet, fleet, knows
from tests.support.redis_server import RedisServer
from tests.support.simulator import Simulator
from tests.support.world import stretched


async def test_no_replica_takes_more_than_it_may(replicas: Fleet) -> None:
    one, other = await replicas.start(2, MAX_SESSIONS="4")
    for number in range(4):
        await one.post(f"/sessions/a-{number}/start")
    # Asked of the full one, in a row, while what it knows of the other is a heartbeat old.
    for number in range(4):
        await one.post(f"/sessions/b-{number}/start")
    refused = await one.http.post("/sessions/c/start")
    assert refused.status_code == 503
    assert refused.json()["code"] == "no_capacity"
    assert int(refused.headers["Retry-After"]) > 0
    assert not await replicas.records(["c"])

    started = [f"{kind}-{number}" for kind in "ab" for number in range(4)]
    assert Counter(record.owner for record in (await replicas.records(started)).values()) == {"r1": 4, "r2": 4}
    await one.kill()
    await asyncio.sleep(TTL_S)
    owners = Counter(record.owner for record in (await replicas.records(started)).values())
    assert owners["r2"] == 4
    (third,) = await replicas.start()
    await replicas.until(lambda: replicas.all_are(started, Status.QR, Status.STARTING, on=[other, third]), seconds=15)


async def test_a_takeover_is_no_storm(replicas: Fleet) -> None:
    """RESUME_RATE sessions a second, however many wait."""
    rate, count = 5, 15
    sessions = [f"s-{number}" for number in range(count)]
    (one,) = await replicas.start()
    await replicas.link(sessions, [one])
    (other,) = await replicas.start(RESUME_RATE=str(rate))
    last = await replicas.simulator.last()
    await one.kill()
    await replicas.until(lambda: replicas.all_are(sessions, Status.CONNECTED, on=[other]))
    at = sorted([await claimed_at(replicas, session) for session in sessions])
    assert all(later - earlier >= 1000 for earlier, later in zip(at, at[rate + 1 :], strict=False))
    assert len(await replicas.simulator.events(after=last, type="connect")) == count


async def test_a_handover_keeps_pace(replicas: Fleet) -> None:
    """However many sessions leave at once, none is offline for long: they are taken as fast as they are let go."""
    sessions = [f"s-{number}" for number in range(30)]
    (one,) = await replicas.start()
    await replicas.link(sessions, [one])
    (other,) = await replicas.start()
    await replicas.until(lambda: knows(replicas, one, other))
    assert await one.stop() == 0
    assert await replicas.all_are(sessions, Status.CONNECTED, on=[other])
    for session in sessions:
        (let_go, taken, online) = (await replicas.timeline(session))[-3:]
        assert (let_go.event, taken.event, online.event) == (Event.RELEASE, Event.CLAIM, Event.OPEN)
        assert online.at - let_go.at < stretched(1_500)


async def claimed_at(replicas: Fleet, session: str) -> int:
    (entry,) = [entry for entry in await replicas.timeline(session) if entry.event is Event.CLAIM]
    return entry.at


@pytest.fixture
async def hasty(redis: RedisServer, simulator: Simulator) -> AsyncIterator[Fleet]:
    async with fleet(redis.url, simulator, program="tests.support.hasty") as made:
        yield made


async def test_a_new_replica_gets_its_share_and_nothing_bounces(hasty: Fleet) -> None:
    sessions = [f"s-{number}" for number in range(16)]
    (one,) = await hasty.start()
    await hasty.link(sessions, [one])
    (other,) = await hasty.start()

    async def shared() -> bool:
        return len(await hasty.owned_by(one, sessions)) <= len(sessions) / 2 * TOLERANCE + 1

    await hasty.until(shared)
    await hasty.until(lambda: hasty.all_are(sessions, Status.CONNECTED, on=[one, other]))
    await asyncio.sleep(6)  # several more looks at the balance
    assert await shared()
    moves = {session: [entry.event for entry in await hasty.timeline(session)] for session in sessions}
    moved = [session for session, events in moves.items() if Event.RELEASE in events]
    assert 0 < len(moved) < len(sessions)
    assert set(await hasty.owned_by(other, sessions)) == set(moved)
    for events in moves.values():
        assert events.count(Event.RELEASE) <= 1
    totals = (await hasty.simulator.counters()).totals
    assert (totals["replaced"], totals["max_sockets_per_device"]) == (0, 1)
