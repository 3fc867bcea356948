"""How long faults last for sessions: `python -m tests.replicas.measure` (`make failover`) prints the table of
docs/operations.md.

Three replicas with default settings, one Redis with its append-only file on, the simulator as WhatsApp: all processes
of this machine, all over loopback. "Back" is the login that WhatsApp (the simulator) saw, counted from the fault. With
another WhatsApp the network's and WhatsApp's own time come on top.
"""

import argparse
import asyncio
import logging
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import structlog

from app.model import Event, Status
from app.sessions.handover import TOLERANCE
from app.settings import Settings
from tests.support.fleet import FAST, Fleet, Replica, fleet
from tests.support.redis_node import RedisNode
from tests.support.redis_sentinel import redis_sentinel
from tests.support.simulator import Simulator, SimulatorEvent

OUTAGE_S = 30.0
PATIENCE_S = 120.0
REPLICAS = 3
NOT_LINKED = "not-linked"


@dataclass
class Row:
    """One fault: how many sessions it hit, seconds after which each was back, and what else there is to say."""

    fault: str
    back: Sequence[float]
    more: str = ""

    def __str__(self) -> str:
        figures = (
            f"{statistics.median(self.back):.1f} s | {max(self.back):.1f} s" if self.back else "never gone | never gone"
        )
        return f"| {self.fault} | {len(self.back)} | {figures} | {self.more} |"


@dataclass
class Rig:
    """The fleet, linked. `fault_at` and `last`: moment and journal's end when the fault was made."""

    fleet: Fleet
    redis: RedisNode
    simulator: Simulator
    sessions: list[str]
    fault_at: float = 0.0
    last: int = 0
    homes: dict[str, str] = field(default_factory=dict)

    async def settle(self) -> None:
        """Back to three replicas and everybody connected, each replica with a share."""
        await self.fleet.start(REPLICAS - len(self.fleet.healthy))
        await self.fleet.until(self.shared, seconds=2 * PATIENCE_S)
        await self.fleet.until(lambda: self.fleet.all_are(self.sessions, Status.CONNECTED), seconds=PATIENCE_S)

    async def shared(self) -> bool:
        """Whether no replica has so much that it would let go of some."""
        owned = [len(await self.fleet.owned_by(replica, self.sessions)) for replica in self.fleet.healthy]
        return max(owned) <= len(self.sessions) / REPLICAS * TOLERANCE + 1 and sum(owned) == len(self.sessions)

    async def mark(self) -> None:
        """The fault comes now."""
        self.last, self.fault_at = await self.simulator.last(), time.time()

    async def busiest(self) -> tuple[Replica, list[str]]:
        owned = [(replica, await self.fleet.owned_by(replica, self.sessions)) for replica in self.fleet.healthy]
        return max(owned, key=lambda pair: len(pair[1]))

    async def back(self) -> list[float]:
        """Wait until all are connected; seconds from the fault to each login."""
        await self.fleet.until(lambda: self.fleet.all_are(self.sessions, Status.CONNECTED), seconds=PATIENCE_S)
        return [event.at - self.fault_at for event in await self.seen("login")]

    async def seen(self, type: str) -> list[SimulatorEvent]:
        return await self.simulator.journal(after=self.last, type=type)

    async def logins_of(self, sessions: Sequence[str]) -> list[float]:
        """Wait until as many have logged in since the fault; seconds to each login."""
        seen: list[SimulatorEvent] = []

        async def enough() -> bool:
            seen[:] = await self.seen("login")
            return len(seen) >= len(sessions)

        await self.fleet.until(enough, seconds=PATIENCE_S)
        await self.back()
        return [event.at - self.fault_at for event in seen]


async def killed(rig: Rig) -> Row:
    victim, sessions = await rig.busiest()
    await rig.mark()
    await victim.kill()
    return Row("replica killed (same machine)", await rig.logins_of(sessions))


async def frozen(rig: Rig) -> Row:
    """With its bridges: as if its machine were cut off. Meanwhile others answer for a session that it owns."""
    victim, sessions = await rig.busiest()
    other = next(replica for replica in rig.fleet.healthy if replica is not victim)
    await other.post(f"/sessions/{NOT_LINKED}/qr")
    await rig.mark()
    victim.freeze(bridges=True)
    reset_s = await timed(lambda: other.post(f"/sessions/{NOT_LINKED}/force-reset"))
    code_s = await timed(lambda: other.post(f"/sessions/{NOT_LINKED}/qr"))
    back = await rig.logins_of(sessions)
    victim.thaw()
    await other.post(f"/sessions/{NOT_LINKED}/force-reset")
    await rig.fleet.until(lambda: beats(rig.fleet, victim))
    return Row(
        "replica frozen, or its machine cut off",
        back,
        f"meanwhile force-reset {reset_s:.2f} s, new code {code_s:.2f} s",
    )


async def stopped(rig: Rig) -> Row:
    victim, sessions = await rig.busiest()
    await rig.mark()
    took = await timed(victim.stop)
    await rig.logins_of(sessions)
    closed = {event.jid: event.at for event in await rig.seen("close")}
    gaps = [event.at - closed[event.jid] for event in await rig.seen("login") if event.jid in closed]
    replaced = len(await rig.seen("replaced"))
    return Row("replica stopped (SIGTERM)", gaps, f"stopped after {took:.1f} s; {replaced} replaced (440)")


async def bridge_killed(rig: Rig) -> Row:
    victim, sessions = await rig.busiest()
    await rig.mark()
    victim.kill_bridges()
    return Row("bridge process killed", await rig.logins_of(sessions))


async def bridge_frozen(rig: Rig) -> Row:
    victim, sessions = await rig.busiest()
    await rig.mark()
    victim.freeze_bridges()
    return Row("bridge process frozen", await rig.logins_of(sessions))


async def redis_restarted(rig: Rig) -> Row:
    await rig.mark()
    rig.redis.kill()
    down = await timed(lambda: asyncio.to_thread(rig.redis.start))
    answers = await until_answering(rig)
    return Row(
        "Redis killed and started again", await rig.back(), f"away {down:.1f} s; requests 200 {answers:.1f} s later"
    )


async def redis_away(rig: Rig) -> Row:
    return await outage(rig, f"Redis away for {OUTAGE_S:.0f} s", rig.redis.kill, rig.redis.start)


async def redis_frozen(rig: Rig) -> Row:
    return await outage(rig, f"Redis silent for {OUTAGE_S:.0f} s", rig.redis.freeze, rig.redis.thaw)


async def outage(rig: Rig, fault: str, begin: Callable[[], None], end: Callable[[], None]) -> Row:
    before = await rig.fleet.records(rig.sessions)
    await rig.mark()
    await asyncio.to_thread(begin)
    slowest = 0.0
    while (left := rig.fault_at + OUTAGE_S - time.time()) > 0:
        for replica in rig.fleet.healthy:
            slowest = max(slowest, await timed(lambda asked=replica: asked.http.get("/status")))  # type: ignore[misc]
        await asyncio.sleep(min(1.0, left))
    await asyncio.to_thread(end)
    answers = await until_answering(rig)
    back = await rig.back()
    moved = sum(record.epoch != before[id].epoch for id, record in (await rig.fleet.records(rig.sessions)).items())
    return Row(fault, back, f"503 within {slowest:.1f} s; requests 200 {answers:.1f} s after; {moved} moved")


async def cut(rig: Rig) -> Row:
    await rig.mark()
    await rig.simulator.disturb("cut")
    return Row("every connection to WhatsApp cut", await rig.logins_of(rig.sessions))


async def silent(rig: Rig) -> Row:
    """Four sockets go silent: too few to be a herd."""
    four = (await rig.simulator.sockets())[:4]
    await rig.mark()
    for socket in four:
        await rig.simulator.disturb("silence", socket=socket["id"])
    back = await rig.logins_of(["any"] * len(four))
    found = [
        entry.at / 1000 - rig.fault_at
        for session in rig.sessions
        for entry in await rig.fleet.timeline(session)
        if entry.event is Event.RECONNECT and entry.at / 1000 > rig.fault_at
    ]
    return Row("WhatsApp silent (half-open)", back, f"noticed after {min(found):.0f} to {max(found):.0f} s")


async def refused(rig: Rig) -> Row:
    """WhatsApp closes every connection and answers logins with 503 for a while."""
    await rig.simulator.behave(login=503)
    await rig.mark()
    await rig.simulator.disturb("cut")
    await asyncio.sleep(OUTAGE_S)
    tries = len(await rig.seen("login_refused"))
    rig.fault_at = time.time()
    await rig.simulator.behave(login=None)
    return Row(
        f"WhatsApp refuses logins (503) for {OUTAGE_S:.0f} s", await rig.back(), f"back: from its end; {tries} tries"
    )


SCENARIOS: dict[str, Callable[[Rig], Awaitable[Row]]] = {
    "killed": killed,
    "frozen": frozen,
    "stopped": stopped,
    "bridge-killed": bridge_killed,
    "bridge-frozen": bridge_frozen,
    "redis-restarted": redis_restarted,
    "redis-away": redis_away,
    "redis-frozen": redis_frozen,
    "cut": cut,
    "silent": silent,
    "refused": refused,
}


FAILOVER = "redis-failover"
"""Has a Redis, and replicas, of its own."""


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.monotonic()
    await call()
    return time.monotonic() - began


async def beats(replicas: Fleet, replica: Replica) -> bool:
    return replica.name in await replicas.workers()


async def until_answering(rig: Rig) -> float:
    """Seconds until every replica answers with 200 again."""
    began = time.monotonic()
    for replica in rig.fleet.healthy:
        while not await _is_ready(replica):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
    return time.monotonic() - began


async def _is_ready(replica: Replica) -> bool:
    try:
        return (await replica.http.get("/status")).is_success
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def linked(count: int, redis: RedisNode, url: str) -> AsyncIterator[Rig]:
    """Replicas with their default settings, and `count` linked sessions."""
    defaults = {name: str(Settings.model_fields[name.lower()].default) for name in FAST}
    async with Simulator() as simulator, fleet(url, simulator, **defaults) as replicas:
        rig = Rig(replicas, redis, simulator, [f"s-{number}" for number in range(count)])
        started = await replicas.start(REPLICAS)
        await replicas.link(rig.sessions, started)
        yield rig


async def failover(count: int) -> Row:
    """The master of a Redis with Sentinels is killed; `down-after-milliseconds` is 500."""
    with redis_sentinel(1, "--appendonly", "yes") as servers:
        async with linked(count, servers.master, servers.url) as rig:
            await rig.mark()
            rig.redis.kill()
            answers = await until_answering(rig)
            return Row("Redis master killed (Sentinel)", await rig.back(), f"requests 200 after {answers:.1f} s")


async def measure(count: int, names: Sequence[str]) -> None:
    """Print one row for each scenario."""
    print(f"{REPLICAS} replicas, {count} sessions, load of the machine at the start {os.getloadavg()[0]:.1f}\n")
    print("| fault | sessions | back: median | back: last | also |\n|---|---|---|---|---|")
    with (
        tempfile.TemporaryDirectory(prefix="relink-measure-") as directory,
        RedisNode(Path(directory), "--appendonly", "yes") as redis,
    ):
        async with linked(count, redis, redis.url) as rig:
            for name in (name for name in names if name in SCENARIOS):
                await rig.settle()
                print(await SCENARIOS[name](rig), flush=True)
    if FAILOVER in names:
        print(await failover(count), flush=True)


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser(prog="python -m tests.replicas.measure", description=__doc__)
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, FAILOVER, []], help="default: all")
    given = parser.parse_args()
    asyncio.run(measure(given.sessions, given.scenarios or [*SCENARIOS, FAILOVER]))


if __name__ == "__main__":
    main()
