"""Moving sessions between replicas that are all well: when one stops, and when one has much more to do than the rest.

A session moves by being let go (socket closed, record without owner); the replica with the least to do reaches out
first. Between the two there is no moment with two sockets, and so no 440.
"""

import asyncio
import random

import structlog

from app.errors import StoreUnavailable
from app.model import RUNNING, Status
from app.sessions.deadline import Deadline
from app.sessions.replicas import Replicas
from app.sessions.supervisor import Supervisor
from app.store.sessions import Reading, SessionStore

log = structlog.get_logger(__name__)

BALANCE_S = 10.0
"""Between two looks at how the work is shared."""

TOLERANCE = 1.2
"""A replica lets go only of what exceeds this multiple of its fair share: counts are a heartbeat old, and a session
that moves is offline for a moment."""

BATCH = 5
"""Sessions let go at each look, so that a new replica fills up over minutes and every count has time to follow."""

LOOK_S = 0.2


class Handover:
    """Lets sessions of this replica go, at a pace at which others can take them."""

    def __init__(self, *, replicas: Replicas, supervisor: Supervisor, store: SessionStore, rate: float) -> None:
        self._replicas = replicas
        self._supervisor = supervisor
        self._store = store
        self._rate = rate

    async def run(self) -> None:
        """Balance for ever."""
        while True:
            await asyncio.sleep(BALANCE_S * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, keeps no secret
            surplus = self.surplus()
            movable = self._supervisor.settled_sessions()
            for session in random.sample(movable, min(surplus, BATCH, len(movable))):
                log.info("session_moves", session=session, why="another replica has much less to do")
                self._supervisor.release(session)

    def surplus(self) -> int:
        """How many sessions more than its share this replica runs, if that is worth a move; else 0."""
        others = self._replicas.others
        if not others:
            return 0
        share = (self._replicas.load + sum(worker.sessions for worker in others)) / (len(others) + 1)
        return int(self._replicas.load - share) if self._replicas.load > share * TOLERANCE + 1 else 0

    async def leave(self, seconds: float) -> None:
        """Let every session go within `seconds`, and see them connected elsewhere if there is anybody else."""
        deadline = Deadline(seconds)
        self._replicas.stop_accepting()
        others = len(self._replicas.others)
        sessions = self._supervisor.sessions
        pace = min(1 / (self._rate * others), seconds / 2 / len(sessions)) if others and sessions else 0.0
        await self._supervisor.close(deadline, pace=pace)
        if others:
            await self._see_them_run(set(sessions), deadline)

    async def _see_them_run(self, sessions: set[str], deadline: Deadline) -> None:
        while sessions and not deadline.passed:
            waiting = sorted(sessions)
            try:
                readings = await self._store.read_many(waiting)
            except StoreUnavailable:
                return
            runs = (session for session, reading in zip(waiting, readings, strict=True) if _runs_elsewhere(reading))
            sessions.difference_update(runs)
            await asyncio.sleep(LOOK_S)
        if sessions:
            log.warning("sessions_not_yet_elsewhere", count=len(sessions))


def _runs_elsewhere(reading: Reading | None) -> bool:
    """Whether there is nothing left to wait for."""
    if reading is None or reading.record.status not in RUNNING:
        return True
    return reading.record.owner != "" and reading.record.status is not Status.CONNECTING
