"""Stops the herd: when many sessions of this replica fail alike in a short time, one tries and the others wait.

What fails them all (WhatsApp is down, the network is, the client version is refused) does not mend faster because a
thousand sessions ask, and asking a thousand times gets accounts into trouble. When the one that tries gets through, the
others follow, spread out. Pure but for the clock that is handed in.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from app.sessions.reasons import Reason

WATCHED = frozenset(
    {
        Reason.NETWORK,
        Reason.CONNECTION_CLOSED,
        Reason.CONNECTION_LOST,
        Reason.UNAVAILABLE,
        Reason.CONNECT_TIMEOUT,
        Reason.CLIENT_OUTDATED,
    }
)
"""Reasons that, in numbers, speak of WhatsApp or the network rather than of a session."""

WINDOW_S = 10.0
MIN_FAILURES = 5
SHARE = 0.2
"""So many different sessions, and this share of all that run here, failing alike within the window, trip the guard."""

PROBE_BASE_S = 1.0
PROBE_CAP_S = 30.0
"""Between two tries of the canary: doubling from the first to the second."""

CANARY_PATIENCE_S = 60.0
"""A canary that is not heard of for so long is replaced; its own deadlines are shorter."""


@dataclass(slots=True)
class _Trip:
    """The herd is stopped for `reason`. `next_probe`: when the next canary may try; `canary`: the one that tries."""

    reason: Reason
    probes: int = 0
    next_probe: float = 0.0
    canary: str | None = None
    canary_since: float = 0.0


class Guard:
    """One per replica. `now` gives seconds that only grow; `running` the number of sessions that run here; `rate` is
    how many sessions a second follow when the way is free again, `wake` has a session ask `wait_s` again."""

    def __init__(
        self, *, now: Callable[[], float], running: Callable[[], int], rate: float, wake: Callable[[str], None]
    ) -> None:
        self._now = now
        self._running = running
        self._wake = wake
        self._gap = 1 / rate
        self._failures: deque[tuple[float, str, str]] = deque()
        self._trip: _Trip | None = None
        self._next_slot = 0.0
        self._slots: dict[str, float] = {}

    @property
    def tripped(self) -> Reason | None:
        """Why the herd is stopped; None: it is not."""
        return self._trip.reason if self._trip else None

    @property
    def held(self) -> int:
        """How many sessions wait, for the canary or for their slot after it."""
        return len(self._slots)

    def failed(self, session: str, reason: str | None) -> None:
        """A try of a linked session failed for `reason`."""
        if reason not in WATCHED and reason != Reason.ENGINE:
            self.answered(session)
            return
        now = self._now()
        trip = self._trip
        if trip is not None:
            if trip.canary == session:
                trip.canary = None
                trip.probes += 1
                trip.next_probe = now + min(PROBE_CAP_S, PROBE_BASE_S * 2 ** min(trip.probes, 10))
            return
        if reason == Reason.ENGINE:
            return  # says nothing about WhatsApp
        self._failures.append((now, session, str(reason)))
        while self._failures and self._failures[0][0] < now - WINDOW_S:
            self._failures.popleft()
        alike = {name for _, name, why in self._failures if why == reason}
        if len(alike) >= max(MIN_FAILURES, SHARE * self._running()):
            self._trip = _Trip(Reason(str(reason)), next_probe=now + PROBE_BASE_S)
            self._failures.clear()

    def answered(self, session: str) -> None:
        """WhatsApp let `session` in, or refused it for a reason of its own: the way is free."""
        self._slots.pop(session, None)
        if self._trip is not None:
            self._trip = None
            self._next_slot = self._now()
            for held in self._slots:
                self._next_slot += self._gap
                self._slots[held] = self._next_slot
                self._wake(held)

    def wait_s(self, session: str) -> float:
        """Seconds that `session` has to wait before it may try; 0.0: it may now (and is expected to)."""
        now = self._now()
        trip = self._trip
        if trip is None:
            slot = self._slots.get(session)
            if slot is None or slot <= now:
                self._slots.pop(session, None)
                return 0.0
            return slot - now
        if trip.canary is not None and now - trip.canary_since > CANARY_PATIENCE_S:
            trip.canary = None
        if trip.canary in (None, session) and trip.next_probe <= now:
            trip.canary, trip.canary_since = session, now
            self._slots.pop(session, None)
            return 0.0
        self._slots.setdefault(session, 0.0)
        return max(PROBE_BASE_S, trip.next_probe - now)

    def gone(self, session: str) -> None:
        """`session` no longer runs here."""
        self._slots.pop(session, None)
        if self._trip is not None and self._trip.canary == session:
            self._trip.canary = None
