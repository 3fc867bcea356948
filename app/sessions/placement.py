"""Which replica runs a session that starts."""

import asyncio

from app.errors import NoCapacity, StoreUnavailable
from app.model import Record
from app.sessions.claims import Claims
from app.sessions.replicas import Replicas
from app.sessions.supervisor import Supervisor

IMBALANCE = 10
"""A session starts on the replica that was asked, unless another runs so many fewer: handing it on costs a notice
through Redis, and the counts are a heartbeat old."""

TAKE_UP_S = 1.0
"""An owner that was chosen begins within milliseconds; one that has done nothing after this long is frozen or gone."""


class Placement:
    """Gives each session that starts to the least loaded replica, and sees that it is taken up."""

    def __init__(self, replicas: Replicas, claims: Claims, supervisor: Supervisor) -> None:
        self._replicas = replicas
        self._claims = claims
        self._supervisor = supervisor

    async def place(self, session: str) -> str:
        """The replica to own `session`: this one, unless it is full or another does much less. It is in that replica's
        index when this returns. Raises NoCapacity, StoreUnavailable."""
        replicas = self._replicas
        owner = self._choose()
        if owner is None:
            await replicas.beat()  # one may have come, or have room, since the last heartbeat
            owner = self._choose()
        if owner is None:
            raise NoCapacity(f"All {len(replicas.alive)} replicas run as many sessions as they may (MAX_SESSIONS).")
        replicas.gives(session, owner)
        await replicas.index(session, owner)
        return owner

    def _choose(self) -> str | None:
        replicas = self._replicas
        best = next(iter(replicas.others), None)
        if replicas.room and (best is None or best.sessions + IMBALANCE > replicas.load):
            return replicas.name
        return best.id if best is not None else None

    def started(self, record: Record) -> None:
        """`record` has been given to the replica that it names: run it, or see that the other one does."""
        if record.owner == self._replicas.name:
            self._supervisor.wake(record.id, (record.epoch, record.seq))
        elif record.owner:
            self._supervisor.aside(self._see_it_taken_up(record))

    async def _see_it_taken_up(self, record: Record) -> None:
        await asyncio.sleep(TAKE_UP_S)
        try:
            if self._replicas.room:
                await self._claims.claim_if_neglected(record)
        except StoreUnavailable:
            pass  # then the claims of all replicas find it, once Redis is back
