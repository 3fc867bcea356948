"""Many sessions of a replica fail alike: one tries for all, the others wait and follow spread out."""

import asyncio
import bisect
from collections.abc import Sequence
from functools import partial

import pytest

from app.model import Event, Record, Status
from app.sessions.guard import PROBE_BASE_S
from app.sessions.reasons import Reason
from tests.support.fleet import Fleet, kept
from tests.support.simulator import Simulator

SESSIONS = [f"s-{number:02}" for number in range(24)]
RATE = 10
STORM_S = 6.0


async def connects(simulator: Simulator, after: int) -> list[float]:
    """When clients connected since event number `after`: seconds, in order."""
    return [event.at for event in await simulator.journal(after=after, type="connect")]


def busiest(at: Sequence[float], seconds: float) -> int:
    """The most of them within any stretch of so many seconds."""
    return max((bisect.bisect_left(at, moment + seconds) - index for index, moment in enumerate(at)), default=0)


@pytest.mark.slow
async def test_all_fail_alike(replicas: Fleet) -> None:
    (one,) = await replicas.start(RESUME_RATE=str(RATE), BACKOFF_BASE="0.3", BACKOFF_CAP="1")
    await replicas.link(SESSIONS, [one], at_once=20)
    before = {session: await replicas.auth_of(session) for session in SESSIONS}
    await a_storm_of_503(replicas)
    assert (await replicas.simulator.counters()).totals["max_sockets_per_device"] == 1
    await an_outdated_client(replicas)
    for record in (await replicas.records(SESSIONS)).values():
        if record.status is Status.FAILED:
            await one.post(f"/sessions/{record.id}/start")
    await replicas.until(lambda: replicas.all_are(SESSIONS, Status.CONNECTED), seconds=45)
    for session in SESSIONS:
        assert kept(before[session], await replicas.auth_of(session))


async def a_storm_of_503(replicas: Fleet) -> None:
    """Without the guard, each session would try about twice a second."""
    simulator = replicas.simulator
    last = await simulator.last()
    await simulator.behave(login=503)
    await simulator.disturb("close", code=503)
    await replicas.until(lambda: replicas.all_are(SESSIONS, Status.RECONNECTING, Status.CONNECTING))
    await asyncio.sleep(STORM_S)
    at = await connects(simulator, last)
    tail = [moment for moment in at if moment > at[0] + 3]
    assert len(at) < 2 * len(SESSIONS)
    assert busiest(tail, PROBE_BASE_S) <= 2, "one canary at a time"
    records = (await replicas.records(SESSIONS)).values()
    assert {record.reason for record in records} == {Reason.UNAVAILABLE}
    assert all(record.retry_at for record in records if record.status is Status.RECONNECTING)

    calm = await simulator.last()
    await simulator.behave(login=None)
    await replicas.until(lambda: replicas.all_are(SESSIONS, Status.CONNECTED), seconds=45)
    assert len(await connects(simulator, calm)) <= len(SESSIONS) + 3
    resumed = [await last_resumed_at(replicas, session) for session in SESSIONS]
    assert max(resumed) - min(resumed) > 0.7 * 1000 * len(SESSIONS) / RATE, "recovery is spread out"


async def last_resumed_at(replicas: Fleet, session: str) -> int:
    """Milliseconds."""
    return max(entry.at for entry in await replicas.timeline(session) if entry.event is Event.RESUME)


async def an_outdated_client(replicas: Fleet) -> None:
    """405 for everyone: each would fail for good, and need a start by hand when the version is mended."""
    simulator = replicas.simulator
    last = await simulator.last()
    await simulator.behave(login=405)
    await simulator.disturb("close", code=503)
    await replicas.until(lambda: replicas.all_are(SESSIONS, Status.FAILED, Status.RECONNECTING))
    await asyncio.sleep(STORM_S / 2)
    records = (await replicas.records(SESSIONS)).values()
    failed = [record for record in records if record.status is Status.FAILED]
    assert failed
    assert {record.reason for record in failed} == {Reason.CLIENT_OUTDATED}
    assert {record.status for record in records} <= {Status.FAILED, Status.RECONNECTING, Status.CONNECTING}
    assert len(await connects(simulator, last)) <= len(SESSIONS) + 10
    await simulator.behave(login=None)


async def test_a_frozen_bridge_and_a_dead_one(replicas: Fleet) -> None:
    """Found by the replica's own deadline and replaced; the sessions of others do not notice."""
    one, other = await replicas.start(2)
    sessions = SESSIONS[:8]
    await replicas.link(sessions, [one, other])
    staying = await replicas.records(await replicas.owned_by(other, sessions))
    for disturb in (one.freeze_bridges, one.kill_bridges):
        bridges = one.bridges()
        records = await replicas.records(sessions)
        disturb()
        await replicas.until(partial(_came_back, replicas, records, staying))
        assert one.bridges() != bridges
        assert await replicas.owned_by(one, sessions) == [s for s in sessions if s not in staying]
    assert await replicas.records(list(staying)) == staying
    for session in set(sessions) - set(staying):
        reasons = [entry.reason for entry in await replicas.timeline(session) if entry.event is Event.RECONNECT]
        assert reasons
        assert set(reasons) <= {Reason.NETWORK, Reason.ENGINE}


async def _came_back(replicas: Fleet, before: dict[str, Record], staying: dict[str, Record]) -> bool:
    now = await replicas.records(list(before))
    return all(
        record.status is Status.CONNECTED and (id in staying or record.seq > before[id].seq)
        for id, record in now.items()
    )
