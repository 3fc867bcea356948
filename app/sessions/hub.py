"""Who waits for changes of which session, within this replica.

Fed by the replica's own writes and by `relink:changes`. A notice only says that there is something newer to read, so a
lost one costs time and nothing else: every wait has a bound after which the waiter looks for itself.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from app.model import Record, Status

Position = tuple[int, int]
"""(epoch, seq): grows with every transition, also across deletion and re-creation."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something happened to `session`. `owner` is the replica responsible now; `deleted`: the record is gone."""

    session: str
    position: Position
    owner: str = ""
    status: Status | None = None
    deleted: bool = False


class Watch:
    """One waiter's view of one session."""

    def __init__(self) -> None:
        self._newest: Position = (0, 0)
        self._poked = False
        self._wake = asyncio.Event()

    def notify(self, position: Position, *, poke: bool) -> None:
        """Take note of something newer; `poke` wakes the waiter whatever it has seen."""
        self._newest = max(self._newest, position)
        self._poked = self._poked or poke
        self._wake.set()

    async def wait(self, seen: Position, timeout: float) -> None:
        """Return when there is something newer than `seen`, or after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._newest <= seen and not self._poked:
                    self._wake.clear()
                    await self._wake.wait()
        self._poked = False


class Hub:
    """Spreads notices to the waiters of each session and to the listeners of all."""

    def __init__(self) -> None:
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)
        self._listeners: list[Callable[[Notice], None]] = []
        self._gap_listeners: list[Callable[[], object]] = []

    @contextmanager
    def watch(self, session: str) -> Iterator[Watch]:
        """A waiter's view of `session`, from now on."""
        watch = Watch()
        self._watches[session].add(watch)
        try:
            yield watch
        finally:
            self._watches[session].discard(watch)
            if not self._watches[session]:
                del self._watches[session]

    def watched(self) -> frozenset[str]:
        """The sessions that somebody here waits for."""
        return frozenset(self._watches)

    def listen(self, listener: Callable[[Notice], None]) -> None:
        """Call `listener` with every notice; it must not block."""
        self._listeners.append(listener)

    def on_gap(self, listener: Callable[[], object]) -> None:
        """Call `listener` when notices may have been lost; it must not block."""
        self._gap_listeners.append(listener)

    def publish(self, notice: Notice) -> None:
        """Pass a notice on."""
        for watch in self._watches.get(notice.session, ()):
            watch.notify(notice.position, poke=notice.deleted)
        for listener in self._listeners:
            listener(notice)

    def wrote(self, record: Record) -> None:
        """This replica wrote `record`: tell everyone here without the way through Redis."""
        self.publish(Notice(record.id, (record.epoch, record.seq), record.owner, record.status))

    def poke_all(self) -> None:
        """Notices may have been lost: let everyone look."""
        for watches in self._watches.values():
            for watch in watches:
                watch.notify((0, 0), poke=True)
        for listener in self._gap_listeners:
            listener()
