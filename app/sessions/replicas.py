"""This replica among the others: its heartbeat, and who else is there.

There is no leader. A replica is alive while its heartbeat key is; which sessions it runs, their records say.
"""

import asyncio
import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import structlog

from app import __version__
from app.errors import StoreUnavailable
from app.sessions.guard import Guard
from app.sessions.supervisor import Supervisor
from app.store.replicas import ReplicaStore, Worker

log = structlog.get_logger(__name__)

BEATS_PER_TTL = 3
"""So that two heartbeats may be lost before a replica is taken for dead."""

GAP = 1.4
"""Heartbeats further apart than this multiple of their interval are a gap: Redis was away from here. Less than
BEATS_PER_TTL - 1: an outage that lets the heartbeat of a healthy replica run out, which may be an interval old when it
begins, is then a gap to every other replica, too."""

RETRY_S = 0.1
"""After a heartbeat that failed: the others wait for a sign of life."""


TAKEN_UP_MS = 300
"""A session that was given to another replica so shortly before its heartbeat may not be counted in that."""

COMING_S = 2.0
"""A start that has got no further than its place after this long has failed."""


class Replicas:
    """Membership of this replica. `run` beats until it is cancelled."""

    def __init__(
        self,
        name: str,
        registry: ReplicaStore,
        supervisor: Supervisor,
        guard: Guard,
        *,
        ttl: float,
        max_sessions: int,
    ) -> None:
        self.name = name
        self._registry = registry
        self._supervisor = supervisor
        self._guard = guard
        self._ttl = ttl
        self._max_sessions = max_sessions
        self._alive: list[Worker] = []
        self._indexed: set[str] = set()
        self._clock_ms = 0.0  # Redis' clock minus this process' monotonic one
        self._given: list[tuple[str, float]] = []
        self._coming: dict[str, float] = {}
        self._accepting = True
        self._last_beat = 0.0
        self._heard_since = 0.0

    @property
    def interval(self) -> float:
        """Seconds between two heartbeats."""
        return self._ttl / BEATS_PER_TTL

    @property
    def alive(self) -> list[Worker]:
        """The replicas that were alive at the last heartbeat, this one among them."""
        return self._alive

    async def run(self) -> None:
        """Beat for ever. After a gap longer than the TTL, others may have taken sessions over: every runner looks."""
        pause = self.interval
        while True:
            await asyncio.sleep(pause)
            try:
                await self.beat()
                pause = self.interval
            except StoreUnavailable as error:
                log.warning("heartbeat_failed", error=error.detail)
                pause = RETRY_S

    async def beat(self) -> None:
        """Say that this replica is alive, and learn who else is. Raises StoreUnavailable."""
        fields: dict[str, str | int] = {
            "sessions": self.load,
            "max_sessions": self._max_sessions,
            "accepting": int(self._accepting),
            "held": self._guard.held,
            "held_for": self._guard.tripped or "",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_space": process_space(),
            "version": __version__,
        }
        now = await self._registry.beat(self.name, fields, ttl_ms=round(self._ttl * 1000))
        self._clock_ms = now - time.monotonic() * 1000
        self._given = [(worker, at) for worker, at in self._given if at > now - 2 * self._ttl * 1000]
        self._heard(time.monotonic())
        self._alive = await self._registry.alive()

    def _heard(self, now: float) -> None:
        silence = now - self._last_beat
        if silence > self._gap:
            self._heard_since = now
        if silence > self._ttl and self._last_beat:
            log.warning("heartbeat_late", seconds=round(silence, 1))
            self._indexed.clear()  # a Redis that comes back may have lost its newest writes
            self._supervisor.wake_all()
        self._last_beat = now

    @property
    def _gap(self) -> float:
        return self.interval * GAP

    @property
    def settled(self) -> bool:
        """Whether the others could hear this replica without a gap for a whole TTL, up to now, and it them. Only then
        does it mean anything that one of them is silent. Ask anew after each wait for Redis."""
        now = time.monotonic()
        return now - self._last_beat <= self._gap and self._ttl <= now - self._heard_since

    def reluctance(self) -> float:
        """Seconds to wait before reaching for a session that was let go, so that the least loaded gets it."""
        most = max((worker.sessions for worker in self._alive), default=0)
        return 0.2 * self.load / most if most else 0.0

    async def look(self) -> list[Worker]:
        """The replicas that are alive at this moment. Raises StoreUnavailable."""
        return await self._registry.alive()

    async def index_of(self, worker: str) -> list[str]:
        """Sessions that `worker` may own; their records decide. Raises StoreUnavailable."""
        return await self._registry.sessions_of(worker)

    async def leave(self) -> None:
        """Be absent at once instead of after the TTL. Raises StoreUnavailable."""
        await self._registry.forget(self.name)

    def stop_accepting(self) -> None:
        """Take no more sessions (the replica is about to stop)."""
        self._accepting = False

    @property
    def others(self) -> list[Worker]:
        """The other replicas that take sessions, as of the last heartbeat, those with the fewest first. What was given
        to them since is counted."""
        takers = [self._expected(worker) for worker in self._alive if worker.id != self.name and worker.accepting]
        return sorted((w for w in takers if w.sessions < w.max_sessions), key=lambda worker: worker.sessions)

    def _expected(self, worker: Worker) -> Worker:
        given = sum(1 for name, at in self._given if name == worker.id and at > worker.beat_at - TAKEN_UP_MS)
        return replace(worker, sessions=worker.sessions + given)

    def gives(self, session: str, owner: str) -> None:
        """Note that `session` is about to be given to `owner`, which will count it only later."""
        now = time.monotonic()
        if owner == self.name:
            self._coming[session] = now
        else:
            self._given.append((owner, self._clock_ms + now * 1000))

    @property
    def load(self) -> int:
        """How many sessions run here, or are about to."""
        if self._coming:
            here, since = self._supervisor.sessions, time.monotonic() - COMING_S
            self._coming = {session: at for session, at in self._coming.items() if at > since and session not in here}
        return len(self._supervisor.sessions) + len(self._coming)

    @property
    def room(self) -> int:
        """How many more sessions this replica takes."""
        return max(0, self._max_sessions - self.load) if self._accepting else 0

    async def index(self, session: str, owner: str) -> None:
        """Note that `owner` is about to own `session`, so that its sessions are found when it dies."""
        if owner == self.name and session in self._indexed:
            return
        await self._registry.add_session(owner, session)
        if owner == self.name:
            self._indexed.add(session)


def process_space() -> str:
    """Names the space in which process ids are unique (machine, boot, pid namespace); "" where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def is_gone(worker: Worker) -> bool:
    """Whether `worker` certainly died: it ran in this very process space, and no process has its id now."""
    space = process_space()
    if not space or worker.process_space != space:
        return False
    if worker.pid == os.getpid():
        return True  # its id is mine now
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
