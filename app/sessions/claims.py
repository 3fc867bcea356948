"""Taking over sessions that nobody runs: at boot, when a replica dies or leaves, or when an owner neglects one.

A claim is a compare-and-set on (owner, epoch), so any number of replicas may try at once; the loser learns nothing
worse than that it lost.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import structlog

from app.errors import StoreUnavailable
from app.model import RUNNING, Record
from app.sessions.hub import Hub, Notice
from app.sessions.replicas import Replicas, is_gone
from app.sessions.supervisor import Supervisor
from app.sessions.timing import Timing
from app.store.replicas import ReplicaStore
from app.store.sessions import Reading, SessionStore

log = structlog.get_logger(__name__)

SWEEP_S = 30.0
"""Between two looks at every session. Notices and the index of a dead replica find work sooner; this finds the rest."""

SWEEP_PAGE = 500

NEGLECT_MS = 15_000
"""So long after a deadline has passed with its owner alive, the owner is taken to have lost sight of the session."""


class Claims:
    """Finds sessions that nobody runs and makes this replica run them, at a bounded rate."""

    def __init__(
        self,
        *,
        replicas: Replicas,
        registry: ReplicaStore,
        store: SessionStore,
        supervisor: Supervisor,
        hub: Hub,
        timing: Timing,
        rate: float,
    ) -> None:
        self._replicas = replicas
        self._registry = registry
        self._store = store
        self._supervisor = supervisor
        self._hub = hub
        self._timing = timing
        self._pause = 1 / rate
        self._released: asyncio.Queue[str] = asyncio.Queue()
        hub.listen(self._on_notice)

    async def run(self) -> None:
        """Claim what there is to claim, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forever(self._claim_from_the_dead, self._replicas.interval / 2))
            tasks.create_task(self._forever(self._claim_released, 0.0))
            tasks.create_task(self._forever(self._sweep, SWEEP_S))

    async def _forever(self, work: Callable[[], Awaitable[None]], pause: float) -> None:
        while True:
            try:
                await work()
            except StoreUnavailable as error:
                log.warning("claims_wait_for_redis", error=error.detail)
                await asyncio.sleep(self._replicas.interval)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, keeps no secret

    # What there is to claim

    def _on_notice(self, notice: Notice) -> None:
        if notice.owner == "" and notice.status in RUNNING:
            self._released.put_nowait(notice.session)

    async def _claim_released(self) -> None:
        """A replica let a session go. The less a replica runs, the sooner it reaches out."""
        session = await self._released.get()
        if self._replicas.room:
            await asyncio.sleep(self._replicas.reluctance())
            await self._claim_each([session], partial(_owned_by, ""))

    async def _claim_from_the_dead(self) -> None:
        """A replica's heartbeat is gone: its index says which sessions to look at."""
        for worker in await self._dead():
            sessions = await self._registry.sessions_of(worker)
            await self._claim_each(sessions, partial(_owned_by, worker))
            left = await self._store.read_many(sessions)
            if not any(reading and reading.record.owner == worker for reading in left):
                await self._registry.forget(worker)
                log.info("replica_forgotten", replica=worker)

    async def _sweep(self) -> None:
        """Look at every session there is."""
        await self._replicas.beat()
        present = {worker.id for worker in self._replicas.alive} - set(await self._dead())

        def neglected(reading: Reading) -> bool:
            record = reading.record
            if record.owner == "":
                return True
            if record.owner == self._replicas.name:  # an earlier life of that name, or a notice that never came
                return record.id not in self._supervisor.sessions
            if record.owner not in present:
                return self._replicas.settled
            return record.deadline_at is not None and record.deadline_at + NEGLECT_MS < reading.now

        after = ""
        while page := await self._store.page(after=after, limit=SWEEP_PAGE):
            after = page[-1]
            await self._claim_each(page, neglected)

    async def _dead(self) -> list[str]:
        """Replicas to take over from: those that certainly died, and those not heard of for the TTL. The latter only
        when this replica has been heard itself all that time, else it may be Redis that was away from all of them."""
        gone = [worker.id for worker in self._replicas.alive if worker.id != self._replicas.name and is_gone(worker)]
        return gone + (await self._registry.dead() if self._replicas.settled else [])

    # Claiming

    async def claim_if_neglected(self, record: Record) -> bool:
        """Take `record` over if it is still as it was: its owner did not take it up. True: that was so."""
        reading = await self._store.read(record.id)
        if reading is None or (reading.record.epoch, reading.record.seq) != (record.epoch, record.seq):
            return False
        await self._claim(reading.record)
        return True

    async def _claim_each(self, sessions: Iterable[str], wanted: Callable[[Reading], bool]) -> None:
        shuffled = list(sessions)
        random.shuffle(shuffled)  # several replicas begin at different ends
        for start in range(0, len(shuffled), SWEEP_PAGE):
            for reading in await self._store.read_many(shuffled[start : start + SWEEP_PAGE]):
                if reading is not None and reading.record.status in RUNNING and wanted(reading):
                    if self._replicas.room == 0:
                        return
                    await self._claim(reading.record)

    async def _claim(self, record: Record) -> None:
        me = self._replicas.name
        await self._replicas.index(record.id, me)
        answer = await self._store.claim(
            record.id,
            expected_owner=record.owner,
            expected_epoch=record.epoch,
            owner=me,
            deadline_in_ms=self._timing.connect_ms,
            note=f"from {record.owner}" if record.owner else "nobody ran it",
        )
        if isinstance(answer, Record):
            log.info("session_claimed", session=record.id, epoch=answer.epoch, previous=record.owner)
            self._hub.wrote(answer)
            self._supervisor.wake(answer.id, (answer.epoch, answer.seq))
            await asyncio.sleep(self._pause)


def _owned_by(owner: str, reading: Reading) -> bool:
    return reading.record.owner == owner
