"""What to do when a socket closes: a pure function of how it closed and what the session was.

Close codes are WhatsApp's and Baileys' (`DisconnectReason` of baileys 7.0.0-rc14). 408 has two meanings there, so the
message decides; a reworded message falls on the side that is counted.
"""

from collections.abc import Callable
from dataclasses import dataclass

from app.sessions.reasons import Reason

MAX_UNLINKED_RETRIES = 3
MAX_BAD_SESSION_RETRIES = 3

MAX_RESTARTS = 5
"""515 in a row that are believed; one follows each pairing, more are a server gone wrong."""

LOGIN_FAILURE = "Connection Failure"
"""Baileys' message (Socket/socket.js) when WhatsApp refuses a login; a removed device gives "Stream Errored (…)"."""

QR_REFS_ENDED = "QR refs attempts ended"
"""Baileys' message (Socket/socket.js) for 408 when nobody scanned the last QR code."""


@dataclass(frozen=True, slots=True)
class Clear:
    """The link is gone: clear everything, never restart by itself."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Reopen:
    """Open another socket at once with the same credentials; it does not count as an attempt."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay_ms`; it will be attempt number `attempt` in a row for this family of reasons."""

    reason: Reason
    delay_ms: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Fail:
    """Give up. `clear`: the credentials are of no use and go, else they are kept."""

    reason: Reason
    clear: bool


Decision = Clear | Reopen | Retry | Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """How a socket was lost, and of what session.

    code, message  as the engine reports them; `code` None: no code (network error)
    linked         credentials of a link exist
    attempt        failed attempts in a row so far
    previous       the reason of the newest of them
    restarts       sockets in a row that WhatsApp ended with 515, this one not counted
    contested      the session was taken from a replica that may not know it yet, and may have logged in once more
    """

    code: int | None
    message: str
    linked: bool
    attempt: int
    previous: str | None
    restarts: int = 0
    contested: bool = False


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: attempt n waits between 0 and min(cap, base · 2^(n-1)).

    `chance` gives numbers in [0, 1). See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    base_ms: int
    cap_ms: int
    chance: Callable[[], float]

    def delay_ms(self, attempt: int) -> int:
        """Milliseconds to wait before attempt number `attempt` (from 1)."""
        ceiling = min(self.cap_ms, self.base_ms * 2 ** min(attempt - 1, 30))
        return int(ceiling * self.chance())


_NEVER_RETRIED: dict[int, Fail] = {
    403: Fail(Reason.BANNED, clear=False),
    405: Fail(Reason.CLIENT_OUTDATED, clear=False),
    411: Fail(Reason.MULTIDEVICE_MISMATCH, clear=True),
    440: Fail(Reason.REPLACED, clear=False),
}

_RETRIED: dict[int | None, Reason] = {
    None: Reason.NETWORK,
    408: Reason.CONNECTION_LOST,
    428: Reason.CONNECTION_CLOSED,
    500: Reason.BAD_SESSION,
    503: Reason.UNAVAILABLE,
}


def decide(lost: Lost, backoff: Backoff) -> Decision:
    """What follows from a socket lost like this."""
    if lost.code == 401:
        return Clear(Reason.LOGIN_REFUSED if LOGIN_FAILURE in lost.message else Reason.PHONE_LOGOUT)
    if lost.code == 515 and lost.restarts < MAX_RESTARTS:
        return Reopen()
    if lost.code == 440 and lost.contested:
        return retry(Reason.REPLACED, lost, backoff)
    if lost.code in _NEVER_RETRIED:
        return _NEVER_RETRIED[lost.code]
    if lost.code == 408 and not lost.linked and QR_REFS_ENDED in lost.message:
        return Fail(Reason.QR_EXPIRED, clear=True)
    return retry(_RETRIED.get(lost.code, Reason.UNEXPECTED_CLOSE), lost, backoff)


def retry(reason: Reason, lost: Lost, backoff: Backoff) -> Decision:
    """Another try for `reason`, or the end of tries. Only attempts of the same family count together."""
    bad_session = reason is Reason.BAD_SESSION
    same_family = bad_session == (lost.previous == Reason.BAD_SESSION)
    attempt = lost.attempt + 1 if same_family else 1
    if bad_session and attempt > MAX_BAD_SESSION_RETRIES:
        return Fail(Reason.BAD_SESSION, clear=not lost.linked)
    if not lost.linked and attempt > MAX_UNLINKED_RETRIES:
        return Fail(Reason.NO_QR, clear=True)
    return Retry(reason, backoff.delay_ms(attempt), attempt)
