"""One session in the middle of being linked, and one error of each kind: the examples of the API's description."""

from app.api.errors import InternalError
from app.api.schemas import Json, logout_json, record_json, replica_json, transition_json, verb_json
from app.errors import RelinkError
from app.model import Event, Record, Status, Transition
from app.sessions.reasons import Reason
from app.sessions.service import LoggedOut
from app.store.replicas import Worker

_NOON = 1_772_366_400_000  # 2026-03-01T12:00:00Z
_TEXT = "https://wa.me/settings/linked_devices#2@Jh3…,gX0…=,Zp1…=,T5c…=,1"

_SHOWING = Record(
    id="default",
    status=Status.QR,
    epoch=1_772_366_400_002,
    seq=3,
    owner="relink-1",
    created_at=_NOON,
    updated_at=_NOON + 412,
    deadline_at=_NOON + 62_412,
    qr_id="1772366400002-3",
    qr_expires_at=_NOON + 60_412,
    qr_count=1,
)
_CLEARED = Record(
    id="default", status=Status.IDLE, epoch=1_772_366_400_003, seq=4, reason=Reason.FORCE_RESET, created_at=_NOON
)
_STOPPED = Record(
    id="default",
    status=Status.STOPPED,
    epoch=1_772_366_400_002,
    seq=8,
    reason=Reason.STOP_REQUESTED,
    jid="4915112345678:3@s.whatsapp.net",
    name="Ada",
    platform="android",
    created_at=_NOON,
    updated_at=_NOON + 80_000,
)
_LOGGED_OUT = Record(
    id="default",
    status=Status.LOGGED_OUT,
    epoch=1_772_366_400_004,
    seq=9,
    reason=Reason.API_LOGOUT,
    created_at=_NOON,
    updated_at=_NOON + 90_000,
)

SESSION: Json = record_json(_SHOWING)
STARTED: Json = verb_json("Session default: A QR code is on offer.", _SHOWING)
STOPPED: Json = verb_json("Session default is stopped; its link is kept.", _STOPPED)
RESET: Json = verb_json("Session default was reset. Ask for a QR code to link it again.", _CLEARED)
LOGGED_OUT: Json = logout_json(LoggedOut(_LOGGED_OUT, unlinked=True, was_linked=True))
DELETED: Json = {"message": "Session default was deleted.", "session": "default"}
PAGE: Json = {"sessions": [SESSION], "next": None}
TIMELINE: Json = {
    "session": "default",
    "entries": [
        transition_json(
            Transition(
                seq=3,
                at=_NOON + 412,
                event=Event.QR,
                from_status=Status.STARTING,
                to_status=Status.QR,
                epoch=1_772_366_400_002,
                owner="relink-1",
            )
        )
    ],
    "next": None,
}
REPLICAS: Json = {
    "replicas": [
        replica_json(
            Worker(
                id="relink-1",
                host="relink-1",
                pid=7,
                process_space="",
                version="0.1.0",
                sessions=12,
                max_sessions=1_000,
                accepting=True,
                held=0,
                held_for="",
                started_at=_NOON,
                beat_at=_NOON + 60_000,
            ),
            this=True,
        )
    ]
}
QR: Json = {
    "session": "default",
    "qr_id": "1772366400002-3",
    "text": _TEXT,
    "data_url": "data:image/png;base64,iVBORw0KGgo…",
    "expires_at": "2026-03-01T12:01:00.412Z",
    "attempt": 1,
    "limit": 6,
}
HEALTHY: Json = {"status": "ok", "checks": {"redis": "ok", "engine": "ok"}}
EVENTS = (
    'id: 4\nevent: session-status\ndata: {"id":"default","status":"linking", …}\n\n'
    'id: 4\nevent: authenticated\ndata: {"session":"default", …}\n\n'
)


def error(kind: type[RelinkError]) -> RelinkError:
    """An instance of `kind` with a plausible text."""
    if kind is InternalError:
        return InternalError()
    return kind(_DETAILS.get(kind.code, f"{kind.title}."), session="default")


_DETAILS = {
    "session_not_found": "There is no session 'default'. Starting it creates it.",
    "no_qr_code": "No QR code is on offer: Linked and online.",
    "already_linked": "The session has a link and needs no QR code (connected): Linked and online.",
    "qr_timeout": "WhatsApp gave no QR code in time; Relink goes on trying.",
    "session_failed": "The session is failed: WhatsApp refuses this client version as outdated (405).",
    "invalid_request": "Unknown field 'sesion'. Fields of this call: session.",
    "invalid_session_id": "'a b' cannot be a session id: use 1 to 64 letters, digits, '_', '.' or '-'.",
    "unauthorized": "This service needs its API key: send `Authorization: Bearer KEY` or `X-API-Key: KEY`.",
    "redis_unavailable": "Redis did not answer in time.",
}
