"""Many linked sessions: what an idle replica asks of Redis, and how soon all are back when one dies.

`MANY_SESSIONS=200 pytest -s tests/replicas/test_many.py` prints the figures of docs/operations.md.
"""

import asyncio
import os
import time

import pytest

from app.model import Event, Status
from tests.support.fleet import Fleet, kept
from tests.support.world import stretched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FEW, MANY = 10, int(os.environ.get("MANY_SESSIONS", "80"))
BACK_S = 30.0
GROWTH = 1.2
WATCH_S = 10.0
"""A whole round of what idle replicas do."""


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


async def test_many_sessions(replicas: Fleet) -> None:
    one, other = await replicas.start(2)
    sessions = [f"s-{number:03}" for number in range(MANY)]
    await replicas.link(sessions[:FEW], [one, other])
    await replicas.until(lambda: quiet(replicas))
    few = await commands_a_second(replicas)
    await replicas.link(sessions[FEW:], [one, other], at_once=20)
    await replicas.until(lambda: quiet(replicas))
    for _ in range(4):  # each client has one more thing to write some 20 s after its link
        many = await commands_a_second(replicas)
        if many < few * GROWTH:
            break
    print(f"Redis commands a second by 2 idle replicas: {few:.1f} with {FEW} sessions, {many:.1f} with {MANY}")
    assert many < few * GROWTH

    moving = await replicas.owned_by(one, sessions)
    staying = await replicas.records(await replicas.owned_by(other, sessions))
    assert len(moving) > MANY / 3
    before = {session: await replicas.auth_of(session) for session in sessions}
    await one.kill()
    took = await replicas.until(
        lambda: replicas.all_are(sessions, Status.CONNECTED, on=[other]), seconds=stretched(BACK_S)
    )
    print(f"{len(moving)} of {MANY} sessions were back after {took:.1f} s")
    assert await replicas.records(list(staying)) == staying
    for session in sessions:
        assert kept(before[session], await replicas.auth_of(session))
        claims = [entry.event for entry in await replicas.timeline(session)].count(Event.CLAIM)
        assert claims == (1 if session in moving else 0)
    counters = await replicas.simulator.counters()
    assert {device["max_sockets"] for device in counters.devices.values()} == {1}
    assert counters.totals["replaced"] == 0
