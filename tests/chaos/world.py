"""Everything that stands while chaos reigns, and what is written down of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from app.errors import StoreUnavailable
from tests.chaos.oracle import Oracle
from tests.chaos.server import DurableRedis
from tests.support.fleet import Fleet, Replica, fleet
from tests.support.simulator import Simulator

T = TypeVar("T")

SETTINGS = {
    "KEEP_ALIVE": "4",
    "QR_WAIT": "8",
    "START_TIMEOUT": "15",
    "LINK_TIMEOUT": "15",
    "CONNECT_TIMEOUT": "10",
    "REDIS_TIMEOUT": "3",
    "RESUME_RATE": "30",
    "SHUTDOWN_TIMEOUT": "8",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something was done to a replica, or ("") to all. Times: seconds since the Unix epoch."""

    replica: str
    kind: str
    began: float
    ended: float


@dataclass
class World:
    redis: DurableRedis
    simulator: Simulator
    fleet: Fleet
    sessions: list[str]
    oracles: dict[str, Oracle] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    diary: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.time)

    def note(self, text: str) -> None:
        self.diary.append(f"{time.time() - self.began:7.2f} {text}")

    def complain(self, text: str) -> None:
        """An invariant is broken."""
        self.wrong.append(f"{time.time() - self.began:7.2f} {text}")

    def fault(self, replica: Replica | None, kind: str, began: float) -> None:
        self.faults.append(Fault(replica.name if replica else "", kind, began, time.time()))

    async def see(self, look: Callable[[], Awaitable[T]]) -> T:
        """Ask Redis past the service, however long it is away."""
        async with asyncio.timeout(60):
            while True:
                try:
                    return await look()
                except StoreUnavailable:
                    await asyncio.sleep(0.1)


@asynccontextmanager
async def world(replicas: int, sessions: int) -> AsyncIterator[World]:
    """Replicas that are ready, sessions that do not exist yet, a phone for each."""
    async with DurableRedis() as redis, Simulator() as simulator, fleet(redis.url, simulator, **SETTINGS) as made:
        await made.start(replicas)
        names = [f"s-{number:02}" for number in range(sessions)]
        phones = [await simulator.add_phone() for _ in names]
        stands = World(redis, simulator, made, names)
        stands.oracles = {name: Oracle(name, phone) for name, phone in zip(names, phones, strict=True)}
        stands.locks = {name: asyncio.Lock() for name in names}
        yield stands
