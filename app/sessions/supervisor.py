"""All the sessions that this replica runs: one runner each, started when the replica becomes the owner.

A runner that fails is a bug, and is contained: logged, and started again on what Redis says.
"""

import asyncio
from collections.abc import Coroutine

import structlog

from app.sessions.deadline import Deadline
from app.sessions.hub import Notice, Position
from app.sessions.runner import Runner, Tools

log = structlog.get_logger(__name__)

CRASH_PAUSE_S = 1.0
"""Before a runner that failed is started again."""


class Supervisor:
    """Keeps a runner for each session that this replica owns, until `close` releases them."""

    def __init__(self) -> None:
        self._runners: dict[str, Runner] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asides: set[asyncio.Task[object]] = set()
        self._closing = False
        self._tools: Tools | None = None

    def use(self, tools: Tools) -> None:
        """Give the supervisor what its runners work with (they need its `aside`, so it comes after)."""
        self._tools = tools
        tools.hub.listen(self._on_notice)

    @property
    def sessions(self) -> frozenset[str]:
        """The sessions that run here."""
        return frozenset(self._runners)

    def wake(self, session: str, position: Position | None = None) -> None:
        """Look at `session`: it may have become this replica's, or have changed."""
        runner = self._runners.get(session)
        if runner is not None:
            runner.poke(position)
        elif not self._closing and self._tools is not None:
            runner = self._runners[session] = Runner(session, self._tools)
            task = asyncio.create_task(self._keep_running(runner), name=f"session {session}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def nudge(self, session: str) -> None:
        """Have `session` ask the guard again."""
        if runner := self._runners.get(session):
            runner.nudge()

    def wake_all(self) -> None:
        """Notices may have been lost: every runner looks."""
        for runner in self._runners.values():
            runner.poke()

    def aside(self, work: Coroutine[None, None, object]) -> None:
        """Run `work` in the background; it bounds itself, and the supervisor does not leave without it."""
        task = asyncio.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    def release(self, session: str) -> None:
        """Let `session` go, for another replica to take."""
        if runner := self._runners.get(session):
            runner.close()

    def settled_sessions(self) -> list[str]:
        """Sessions that have been online here for a while."""
        return [session for session, runner in self._runners.items() if runner.settled]

    async def close(self, deadline: Deadline, *, pace: float = 0.0) -> None:
        """Release every session, `pace` seconds apart; whatever is left at the deadline is cut off."""
        self._closing = True
        for runner in list(self._runners.values()):
            runner.close()
            if pace:
                await asyncio.sleep(pace)
        while work := [*self._tasks, *self._asides]:  # who is cut off may leave more behind
            _, late = await asyncio.wait(work, timeout=deadline.left)
            for task in late:
                task.cancel()
            if late:
                log.warning("sessions_not_released", count=len(late))
                await asyncio.wait(late)

    def _on_notice(self, notice: Notice) -> None:
        mine = self._tools is not None and notice.owner == self._tools.replica
        if mine or notice.session in self._runners:
            self.wake(notice.session, None if notice.deleted else notice.position)

    async def _keep_running(self, runner: Runner) -> None:
        while True:
            try:
                await runner.run()
                break
            except Exception:
                log.exception("runner_failed", session=runner.session)
                await asyncio.sleep(CRASH_PAUSE_S)
                runner.poke()
        # No await since run() returned: nobody can have poked this runner in between.
        del self._runners[runner.session]
