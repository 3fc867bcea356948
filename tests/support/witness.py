"""What must not change while Redis is away: noted before, compared afterwards. And who hears of it all."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from app.model import Status
from tests.support.fleet import Fleet, kept
from tests.support.simulator import Simulator


@dataclass(frozen=True)
class Standing:
    """How sessions stand: their owners and epochs, what they keep, how often each device logged in."""

    owners: dict[str, tuple[str, int]]
    auth: dict[str, dict[str, str]]
    logins: dict[str, int]


async def standing(fleet: Fleet, sessions: Iterable[str]) -> Standing:
    records = await fleet.records(sorted(sessions))
    assert all(record.status is Status.CONNECTED for record in records.values()), await fleet.described()
    counters = await fleet.simulator.counters()
    return Standing(
        {id: (record.owner, record.epoch) for id, record in records.items()},
        {id: await fleet.auth_of(id) for id in records},
        {id: counters.devices[str(record.jid)]["logins"] for id, record in records.items()},
    )


async def stands_as(fleet: Fleet, before: Standing, *, also_logged_in: Sequence[str] = ()) -> None:
    """Raises AssertionError unless the sessions were neither moved nor connected anew, and kept all that they had.
    `also_logged_in`: sessions that had to log in once more."""
    after = await standing(fleet, before.owners)
    assert after.owners == before.owners
    assert after.logins == {id: count + (id in also_logged_in) for id, count in before.logins.items()}
    for session, fields in before.auth.items():
        assert kept(fields, after.auth[session]), session
    counters = await fleet.simulator.counters()
    assert counters.totals["max_sockets_per_device"] == 1


async def all_pre_keys_kept(fleet: Fleet, simulator: Simulator, sessions: Iterable[str]) -> None:
    """Raises AssertionError unless every pre-key that WhatsApp was given is in Redis."""
    for session, record in (await fleet.records(sorted(sessions))).items():
        phone = await simulator.phone(str(record.jid).partition(":")[0])
        (given,) = [device["pre_keys"] for device in phone["devices"] if device["jid"] == record.jid]
        names = await fleet.redis.execute("HKEYS", fleet.keys.auth_hash(session))
        assert len([name for name in names if name.startswith("pre-key-")]) >= given > 0, session


class Follower:
    """Somebody who reads the server-sent events of a session: the numbers of the timeline entries that were told."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._changed = asyncio.Event()

    async def until(self, number: int, seconds: float = 20) -> None:
        """Return when entry `number` has come."""
        async with asyncio.timeout(seconds):
            while not self.numbers or self.numbers[-1] < number:
                self._changed.clear()
                await self._changed.wait()

    async def read(self, answer: httpx.Response) -> None:
        name = ""
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data" and name == "timeline-entry":
                self.numbers.append(json.loads(value)["seq"])
                self._changed.set()


@asynccontextmanager
async def following(http: httpx.AsyncClient, session: str) -> AsyncIterator[Follower]:
    """Follow from the beginning, on one connection, which must last."""
    follower = Follower()
    async with http.stream("GET", f"/sessions/{session}/events", params={"after": 0}, timeout=60) as answer:
        reading = asyncio.create_task(follower.read(answer))
        try:
            yield follower
            assert not reading.done(), "the stream ended"
        finally:
            reading.cancel()
            await asyncio.wait({reading})
