"""The nouns of the whole system: what a session is, what can happen to it, and what is remembered of it.

Everything here is plain data. Times are integers, milliseconds since the Unix epoch by Redis' clock; durations carry
their unit in the name. The wire formats (JSON field names, RFC 3339 times) are made from these in `app.api.schemas`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

DEFAULT_SESSION = "default"

SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What a session may be called. Match it whole (`fullmatch`)."""


class Status(StrEnum):
    """Where a session stands. `docs/architecture.md` has the table and the transitions between them."""

    IDLE = "idle"
    STARTING = "starting"
    QR = "qr"
    LINKING = "linking"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    STOPPED = "stopped"
    LOGGED_OUT = "logged_out"
    FAILED = "failed"


SOCKET = frozenset({Status.STARTING, Status.QR, Status.LINKING, Status.CONNECTING, Status.CONNECTED})
"""Statuses in which the owner holds (or is about to open) a socket to WhatsApp."""

RUNNING = SOCKET | {Status.RECONNECTING}
"""Statuses in which some replica must be responsible for the session: it is claimed when its owner is gone."""

CLEARED = frozenset({Status.IDLE, Status.LOGGED_OUT})
"""Statuses in which no auth state exists and none may be written."""


class Event(StrEnum):
    """What can happen to a session. `app.sessions.machine` says where each leads."""

    CREATED = "created"
    START = "start"  # somebody asked for it; no credentials
    RESUME = "resume"  # somebody asked for it, or its retry came due; has credentials
    QR = "qr"
    PAIRED = "paired"  # the phone scanned
    OPEN = "open"  # logged in
    RESTART = "restart"  # WhatsApp asks for a new socket with the same credentials (515)
    RETRY = "retry"  # not linked; the socket was lost, another try follows
    RECONNECT = "reconnect"  # linked; the socket was lost, another try follows
    HELD = "held"  # linked; many sessions fail alike, so this one waits while another tries
    CLAIM = "claim"  # another replica became responsible; has credentials
    CLAIM_UNLINKED = "claim_unlinked"  # the same, no credentials
    RELEASE = "release"  # the owner let go of it in an orderly way; has credentials
    STOP = "stop"
    LOGOUT = "logout"
    FAIL = "fail"
    RESET = "reset"
    STOP_REQUESTED = "stop_requested"
    LOGOUT_REQUESTED = "logout_requested"


class Intent(StrEnum):
    """What a caller asked of the owner, and the owner has not finished yet."""

    STOP = "stop"
    LOGOUT = "logout"


class AuthLayout(StrEnum):
    """How the auth state of a session lies in Redis. Both are those of the npm library `baileys-redis-auth`."""

    HASH = "hash"  # useRedisAuthStateWithHSet
    KEYS = "keys"  # useRedisAuthState


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One session as Redis holds it. Fields by their meaning:

    epoch        fences every write; grows whenever responsibility or identity changes, never shrinks
    seq          number of the newest timeline entry; grows by one with each
    owner        the replica responsible, "" for none
    intent, intent_deadline_at  what was asked of the owner, and when the asking replica stops waiting for it
    attempt      tries since the last success
    deadline_at  when this status is given up (None: it may last)
    cleared      the epoch that the newest clear produced: the credentials of a socket with an older one are gone
    """

    id: str
    status: Status
    epoch: int
    seq: int
    owner: str = ""
    intent: Intent | None = None
    intent_deadline_at: int | None = None
    reason: str | None = None
    code: int | None = None
    attempt: int = 0
    retry_at: int | None = None
    deadline_at: int | None = None
    qr: str | None = None
    qr_id: str | None = None
    qr_expires_at: int | None = None
    qr_count: int = 0
    qr_limit: int | None = None
    jid: str | None = None
    name: str | None = None
    platform: str | None = None
    created_at: int = 0
    updated_at: int = 0
    connected_at: int | None = None
    cleared: int = 0


PER_STATUS_FIELDS = ("reason", "code", "retry_at", "deadline_at", "qr", "qr_id", "qr_expires_at", "qr_limit")
"""Record fields that describe the present status only: every transition drops them unless it sets them anew."""

PER_LINK_FIELDS = ("intent", "intent_deadline_at", "attempt", "qr_count", "jid", "name", "platform", "connected_at")
"""Record fields that describe one link: a clear drops them with the auth state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One entry of a session's timeline."""

    seq: int
    at: int
    event: Event
    from_status: Status | None
    to_status: Status
    epoch: int
    owner: str = ""
    reason: str | None = None
    code: int | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one fenced write does to a record, beside what every transition does.

    set           record fields to set; times that are relative go below instead
    retry_in_ms, deadline_in_ms, qr_in_ms  become `retry_at`, `deadline_at`, `qr_expires_at` by Redis' clock
    clear         remove the auth state and the per-link fields, and bump the epoch
    bump          bump the epoch without clearing
    """

    event: Event
    status: Status
    reason: str | None = None
    code: int | None = None
    note: str | None = None
    set: dict[str, str | int] | None = None
    drop: tuple[str, ...] = ()
    retry_in_ms: int | None = None
    deadline_in_ms: int | None = None
    qr_in_ms: int | None = None
    clear: bool = False
    bump: bool = False


class StaleEpoch(Exception):
    """The epoch of the caller is no longer that of the session. Nothing was read or written; a socket that hears this
    is to be closed."""
