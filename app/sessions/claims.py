"""Taking over sessions that nobody runs: at boot, when a replica dies or leaves, or when an owner neglects one.

A claim is a compare-and-set on (owner, epoch), so any number of replicas may try at once; the loser learns nothing
worse than that it lost.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial

import structlog

from app.errors import StoreUnavailable
from app.model import RUNNING, Record
from app.sessions import watcher
from app.sessions.hub import Hub, Notice
from app.sessions.replicas import Replicas, is_gone
from app.sessions.supervisor import Supervisor
from app.sessions.timing import Timing
from app.store.replicas import ReplicaStore
from app.store.sessions import Reading, SessionStore

log = structlog.get_logger(__name__)

WALK_S, WALK_PAGE = 10.0, 10
"""So many sessions are looked at so often, round and round. Notices and the index of a dead replica find work at once;
this finds what slipped through, at a cost to Redis that does not grow with the number of sessions."""

SWEEP_PAGE = 500

SHORT_S = 30.0
"""After no room was left for a session that nobody runs, all are looked at again this much later."""

OWN_S = 2.0
"""What this replica itself let go, it takes back only when nobody has wanted it for so long."""

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
        self._let_go: dict[str, float] = {}
        self._missed = asyncio.Event()  # something may have slipped through: look at all sessions
        self._missed.set()
        self._short_since: float | None = None
        self._walked = ""
        self._seen_gone: set[str] = set()
        hub.listen(self._on_notice)
        hub.on_gap(self._missed.set)

    async def run(self) -> None:
        """Claim what there is to claim, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forever(self._claim_from_the_dead, self._replicas.interval / 2))
            tasks.create_task(self._forever(self._claim_released, 0.0))
            tasks.create_task(self._forever(self._look_around, 0.0))

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
            loop = asyncio.get_running_loop()
            if notice.session in self._supervisor.sessions:  # no longer when it comes again, from Redis
                self._let_go[notice.session] = loop.time() + OWN_S
            not_before = max(loop.time() + self._replicas.reluctance(), self._let_go.get(notice.session, 0.0))
            loop.call_at(not_before, self._released.put_nowait, notice.session)

    async def _claim_released(self) -> None:
        """A replica let a session go some time ago. The less a replica runs, the sooner it reaches out."""
        session = await self._released.get()
        self._let_go.pop(session, None)
        if self._replicas.room == 0:
            self._out_of_room()
        else:
            await self._claim_each([session], partial(_owned_by, ""))

    async def _claim_from_the_dead(self) -> None:
        """A replica's heartbeat is gone: its index says which sessions to look at."""
        for worker in (*self._gone_for_a_while(), *await self._silent()):
            sessions = await self._registry.sessions_of(worker)
            await self._claim_each(sessions, partial(_owned_by, worker))
            left = await self._store.read_many(sessions)
            if not any(reading and reading.record.owner == worker for reading in left):
                await self._registry.forget(worker)
                log.info("replica_forgotten", replica=worker)

    async def _look_around(self) -> None:
        """Look at every session there is when some may have been missed, else at the next few."""
        if self._short_since is not None and time.monotonic() - self._short_since > SHORT_S:
            self._missed.set()
        if self._missed.is_set():
            self._missed.clear()
            self._short_since = None
            try:
                await self._replicas.beat()
                await self._sweep()
            except StoreUnavailable:
                self._missed.set()
                raise
        else:
            page = await self._store.page(after=self._walked, limit=WALK_PAGE)
            self._walked = page[-1] if len(page) == WALK_PAGE else ""
            await self._claim_each(page)
        with suppress(TimeoutError):
            async with asyncio.timeout(WALK_S * random.uniform(0.8, 1.2)):  # noqa: S311 - as above
                await self._missed.wait()

    async def _sweep(self) -> None:
        after = ""
        while page := await self._store.page(after=after, limit=SWEEP_PAGE):
            after = page[-1]
            await self._claim_each(page)

    async def _neglect(self) -> Callable[[Reading], bool]:
        """Tells of sessions that were read before whether nobody runs them. (Read afterwards, one could be a session of
        a replica that has only just come.)"""
        present = {worker.id for worker in await self._replicas.look() if not is_gone(worker)} | {self._replicas.name}

        def neglected(reading: Reading) -> bool:
            record = reading.record
            if record.owner == "":
                return True
            if record.owner == self._replicas.name:  # an earlier life of that name, or a notice that never came
                return record.id not in self._supervisor.sessions
            overdue = record.deadline_at is not None and record.deadline_at + NEGLECT_MS < reading.now
            return self._replicas.settled and (overdue or record.owner not in present)

        return neglected

    def _gone(self) -> set[str]:
        """Replicas that certainly died."""
        return {worker.id for worker in self._replicas.alive if worker.id != self._replicas.name and is_gone(worker)}

    def _gone_for_a_while(self) -> set[str]:
        """Those that were so at the last look, too: bridges die with their replica, but what they held open may still
        be closing."""
        gone = self._gone()
        twice, self._seen_gone = gone & self._seen_gone, gone
        return twice

    async def _silent(self) -> list[str]:
        """Replicas not heard of for the TTL. Only when this replica has been heard itself all that time, up to the
        answer, else it may be Redis that was away from all of them."""
        silent = await self._registry.dead() if self._replicas.settled else []
        return silent if self._replicas.settled else []

    # Claiming

    async def claim_if_neglected(self, record: Record) -> bool:
        """Take `record` over if it is still as it was: its owner did not take it up. True: that was so."""
        reading = await self._store.read(record.id)
        if reading is None or (reading.record.epoch, reading.record.seq) != (record.epoch, record.seq):
            return False
        await self._claim(reading.record)
        return True

    async def _claim_each(self, sessions: Iterable[str], wanted: Callable[[Reading], bool] | None = None) -> None:
        """Claim those that are `wanted` (None: those that nobody runs)."""
        shuffled = list(sessions)
        random.shuffle(shuffled)  # several replicas begin at different ends
        for start in range(0, len(shuffled), SWEEP_PAGE):
            readings = await self._store.read_many(shuffled[start : start + SWEEP_PAGE])
            judge = wanted or await self._neglect()
            for reading in readings:
                if reading is not None and reading.record.status in RUNNING and judge(reading):
                    if self._replicas.room == 0:
                        self._out_of_room()
                        return
                    await self._claim(reading.record)

    def _out_of_room(self) -> None:
        if self._short_since is None:
            self._short_since = time.monotonic()

    async def _claim(self, record: Record) -> None:
        me = self._replicas.name
        await self._replicas.index(record.id, me)
        try:
            answer = await self._store.claim(
                record.id,
                expected_owner=record.owner,
                expected_epoch=record.epoch,
                owner=me,
                deadline_in_ms=self._timing.connect_ms,
                note=f"{watcher.TAKEN_FROM}{record.owner}" if record.owner else "nobody ran it",
            )
        except StoreUnavailable:
            self._supervisor.wake(record.id)  # it may have been done: the runner looks
            raise
        if isinstance(answer, Record):
            self._hub.wrote(answer)
            self._supervisor.wake(answer.id, (answer.epoch, answer.seq))
            await asyncio.sleep(self._pause)


def _owned_by(owner: str, reading: Reading) -> bool:
    return reading.record.owner == owner
