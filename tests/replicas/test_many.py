"""Two hundred linked sessions: what an idle replica asks of Redis, and how soon all are back when one dies."""

import asyncio
import time

import pytest

from app.model import Event, Status
from tests.support.fleet import Fleet, kept

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FEW, MANY = 10, 200
BACK_S = 30.0
WATCH_S = 12.0


async def commands_a_second(replicas: Fleet) -> float:
    """What all replicas together send, as Redis counts it, while nothing happens."""
    began, before = time.monotonic(), await _commands(replicas)
    await asyncio.sleep(WATCH_S)
    sent = await _commands(replicas) - before - 1  # the INFO between the two
    return sent / (time.monotonic() - began)


async def _commands(replicas: Fleet) -> int:
    return int((await replicas.redis.execute("INFO", "stats"))["total_commands_processed"])


async def quiet(replicas: Fleet) -> bool:
    """Whether a second passes without a change of any session."""
    before = await replicas.records(await replicas.store.page(limit=1_000))
    await asyncio.sleep(1)
    return await replicas.records(list(before)) == before


async def test_two_hundred(replicas: Fleet) -> None:
    one, other = await replicas.start(2)
    sessions = [f"s-{number:03}" for number in range(MANY)]
    await replicas.link(sessions[:FEW], [one, other])
    await replicas.until(lambda: quiet(replicas))
    few = await commands_a_second(replicas)
    await replicas.link(sessions[FEW:], [one, other], at_once=20)
    await replicas.until(lambda: quiet(replicas))
    many = await commands_a_second(replicas)
    print(f"Redis commands a second by 2 idle replicas: {few:.1f} with {FEW} sessions, {many:.1f} with {MANY}")
    assert many < few * 1.3 + 2

    moving = await replicas.owned_by(one, sessions)
    staying = await replicas.records(await replicas.owned_by(other, sessions))
    assert len(moving) > MANY / 3
    before = {session: await replicas.auth_of(session) for session in sessions}
    await one.kill()
    took = await replicas.until(lambda: replicas.all_are(sessions, Status.CONNECTED, on=[other]), seconds=BACK_S)
    print(f"{len(moving)} of {MANY} sessions were back after {took:.1f} s")
    assert await replicas.records(list(staying)) == staying
    for session in sessions:
        assert kept(before[session], await replicas.auth_of(session))
        claims = [entry.event for entry in await replicas.timeline(session)].count(Event.CLAIM)
        assert claims == (1 if session in moving else 0)
    counters = await replicas.simulator.counters()
    assert {device["max_sockets"] for device in counters.devices.values()} == {1}
    assert counters.totals["replaced"] == 0
