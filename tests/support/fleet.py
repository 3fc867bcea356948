"""Several replicas, each a process of its own, on one Redis and one simulator: started, frozen, killed, watched."""

import asyncio
import hashlib
import json
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.model import AuthLayout, Record, Status, Transition
from app.store.auth import RedisAuthStore
from app.store.changes import Changes
from app.store.client import RedisClient, connect
from app.store.keys import Keys
from app.store.replicas import ReplicaStore, Worker
from app.store.sessions import SessionStore
from tests.support.service_process import ServiceProcess
from tests.support.simulator import Linked, Simulator

TTL_S = 3.0
"""Half of the default. Shorter still, and a busy test machine would make replicas look dead."""

FAST = {
    "REPLICA_TTL": str(TTL_S),
    "BACKOFF_BASE": "0.3",
    "BACKOFF_CAP": "2",
    "LOGOUT_TIMEOUT": "4",
    "STOP_TIMEOUT": "2",
    "BRIDGE_TIMEOUT": "3",
    "LOG_LEVEL": "INFO",
}

WAIT_S = 20.0
LOG_LINES = 50_000

STABLE_CREDS = ("noiseKey", "signedIdentityKey", "signedPreKey", "registrationId", "advSecretKey", "account")
"""What a link's credentials are made of: none of it changes while the link lives."""


class Replica(ServiceProcess):
    """One replica. It can be frozen and thawed, alone or with its bridges."""

    def __init__(self, name: str, environment: dict[str, str], *, program: str = "app") -> None:
        super().__init__({"REPLICA_ID": name, **environment}, program=program)
        self.name = name
        self.log = deque(maxlen=LOG_LINES)
        self._stopped: set[int] = set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        bridges = self.bridges()
        self.thaw()
        await super().__aexit__(kind, error, trace)
        await _see_gone(bridges)

    @property
    def healthy(self) -> bool:
        """Whether it runs and is not frozen (its bridges may be)."""
        return self.running and self.pid not in self._stopped

    def bridges(self) -> list[int]:
        """Process ids of its bridge processes."""
        with suppress(OSError):
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []

    def freeze(self, *, bridges: bool = False) -> None:
        """SIGSTOP."""
        for pid in [self.pid, *(self.bridges() if bridges else [])]:
            self._signal(pid, signal.SIGSTOP)

    def freeze_bridges(self) -> None:
        for pid in self.bridges():
            self._signal(pid, signal.SIGSTOP)

    def kill_bridges(self) -> None:
        for pid in self.bridges():
            self._signal(pid, signal.SIGKILL)

    def thaw(self) -> None:
        """SIGCONT to all that was stopped."""
        for pid in list(self._stopped):
            self._signal(pid, signal.SIGCONT)

    def _signal(self, pid: int, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            if number is signal.SIGSTOP:
                self._stopped.add(pid)
        if number is signal.SIGCONT:
            self._stopped.discard(pid)

    async def kill(self) -> None:
        self._stopped.discard(self.pid)
        await super().kill()


async def _see_gone(pids: Iterable[int]) -> None:
    """Bridges end when their replica is gone; one that does not is ended here, and is a failure."""
    for pid in pids:
        try:
            async with asyncio.timeout(10):
                while _runs(pid):  # noqa: ASYNC110 - it is not our child, nobody tells us
                    await asyncio.sleep(0.02)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"bridge {pid} outlived its replica") from None


def _runs(pid: int) -> bool:
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] not in "ZX" and b"bridge" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@dataclass
class Fleet:
    """Replicas by name, and what they share. `everyone`: those that are gone, too. `store`, `registry`: to look behind
    them."""

    redis: RedisClient
    simulator: Simulator
    environment: dict[str, str]
    program: str = "app"
    replicas: dict[str, Replica] = field(default_factory=dict)
    everyone: list[Replica] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _listener: asyncio.Task[None] | None = None
    _started: int = 0

    def __post_init__(self) -> None:
        self.keys = Keys("relink")
        self.store = SessionStore(self.redis, self.keys)
        self.registry = ReplicaStore(self.redis, self.keys)
        self.auth = RedisAuthStore(self.redis, self.keys, AuthLayout.HASH)

    async def __aenter__(self) -> Self:
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._stack.__aexit__(kind, error, trace)
        finally:
            if self._listener is not None:
                self._listener.cancel()
                await asyncio.wait({self._listener})

    # Replicas

    async def start(self, count: int = 1, *, name: str | None = None, **settings: str) -> list[Replica]:
        """That many more replicas, ready. `name`: that of one that is gone and comes back."""
        new = []
        for _ in range(count):
            self._started += 1
            called = name or f"r{self._started}"
            new.append(Replica(called, {**self.environment, **settings}, program=self.program))
        entering = [self._stack.enter_async_context(replica) for replica in new]
        for outcome in await asyncio.gather(*entering, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        self.everyone += new
        self.replicas.update({replica.name: replica for replica in new})
        return new

    @property
    def healthy(self) -> list[Replica]:
        return [replica for replica in self.replicas.values() if replica.healthy]

    async def workers(self) -> dict[str, Worker]:
        """The replicas whose heartbeat lives."""
        return {worker.id: worker for worker in await self.registry.alive()}

    # Sessions

    async def link(self, sessions: Sequence[str], via: Sequence[Replica], *, at_once: int = 12) -> dict[str, Linked]:
        """Link each session to a phone of its own, asking the replicas of `via` in turn. Returns when each has written
        what it writes after its first login."""
        gate = asyncio.Semaphore(at_once)

        async def one(index: int, session: str) -> Linked:
            async with gate:
                phone = await self.simulator.add_phone()
                answer = await via[index % len(via)].post(f"/sessions/{session}/qr")
                linked = await self.simulator.scan(answer["text"], phone=phone)
                await self.until(lambda: self.all_are([session], Status.CONNECTED), seconds=60)
                await self.simulator.wait_for("digest", jid=linked.jid, seconds=30)
                return linked

        async with asyncio.TaskGroup() as group:
            tasks = {session: group.create_task(one(index, session)) for index, session in enumerate(sessions)}
        await self.until(lambda: self._settled(sessions), seconds=60)
        return {session: task.result() for session, task in tasks.items()}

    async def _settled(self, sessions: Sequence[str]) -> bool:
        """Whether each session has stored its newest pre-keys and knows the phone's other devices: its last writes."""
        for session in sessions:
            names = await self.redis.execute("HKEYS", self.keys.auth_hash(session))
            if not any(name.startswith("device-list-") for name in names):
                return False
        return True

    async def records(self, sessions: Sequence[str]) -> dict[str, Record]:
        readings = await self.store.read_many(sessions)
        return {reading.record.id: reading.record for reading in readings if reading is not None}

    async def all_are(self, sessions: Sequence[str], *statuses: Status, on: Iterable[Replica] | None = None) -> bool:
        """Whether every session stands in one of `statuses`, owned by one of `on` (None: whoever)."""
        owners = None if on is None else {replica.name for replica in on}
        records = await self.records(sessions)
        return len(records) == len(sessions) and all(
            record.status in statuses and (owners is None or record.owner in owners) for record in records.values()
        )

    async def owned_by(self, replica: Replica, sessions: Sequence[str]) -> list[str]:
        return [id for id, record in (await self.records(sessions)).items() if record.owner == replica.name]

    async def timeline(self, session: str) -> list[Transition]:
        return await self.store.timeline(session, limit=2_000)

    async def auth_of(self, session: str) -> dict[str, str]:
        """Field → digest, for all that must stay as it is while a link lives: every pre-key and other key that exists,
        and the parts of the credentials that make the link."""
        fields: dict[str, str] = await self.redis.execute("HGETALL", self.keys.auth_hash(session))
        creds = json.loads(fields.pop("creds", "{}"))
        parts = {f"creds.{name}": json.dumps(creds.get(name), sort_keys=True) for name in STABLE_CREDS}
        return {name: hashlib.sha256(value.encode()).hexdigest() for name, value in (fields | parts).items()}

    # Waiting

    async def until(self, holds: Callable[[], Awaitable[object]], *, seconds: float = WAIT_S) -> float:
        """Return when `holds()` is true, asked after each change of any session. Returns the seconds that took. Raises
        AssertionError when it does not become so, with the state of every session."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not await holds():
            if loop.time() - began > seconds:
                raise AssertionError(f"not so after {seconds} s\n{await self.described()}")
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.25)
            await asyncio.sleep(0.01)  # a burst of changes is one
        return loop.time() - began

    async def described(self) -> str:
        """The fleet in words, for the message of a failure."""
        records = await self.records(await self.store.page(limit=1_000))
        workers = await self.workers()
        lines = [f"{r.id}: {r.status} epoch {r.epoch} of {r.owner or 'nobody'}, {r.reason}" for r in records.values()]
        lines += [f"{name}: beats {name in workers}, healthy {r.healthy}" for name, r in self.replicas.items()]
        return "\n".join(lines)

    async def _listen(self) -> None:
        async for _ in Changes(self.redis, self.keys):
            self._changed.set()


@asynccontextmanager
async def fleet(redis_url: str, simulator: Simulator, *, program: str = "app", **settings: str) -> AsyncIterator[Fleet]:
    """No replica yet. `settings`: environment variables of all replicas, over FAST."""
    environment = {**FAST, "REDIS_URL": redis_url, **simulator.environment, **settings}
    async with connect(redis_url, timeout=10) as client, Fleet(client, simulator, environment, program) as made:
        yield made


def kept(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether nothing that was there has changed or is missing (there may be more)."""
    return all(after.get(name) == value for name, value in before.items())


async def knows(made: Fleet, one: Replica, other: Replica) -> bool:
    """Whether `one` has beaten, and so looked around, twice since `other` came."""
    workers = await made.workers()
    return workers[one.name].beat_at > workers[other.name].started_at + 1.5 * 1000 * TTL_S / 3
