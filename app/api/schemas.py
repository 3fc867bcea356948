"""The JSON of every answer, made by hand from the plain data of `app.model`: both faces, REST and Socket.IO, use these.

Times become RFC 3339 in UTC with milliseconds. The pydantic twins that document these shapes are in `app.api.models`.
"""

import functools
import json
import time
from typing import Any

from starlette.responses import Response

from app import qr
from app.model import Record, Transition
from app.sessions.qr import QrCode
from app.sessions.reasons import REASONS, Reason, explain
from app.sessions.service import LoggedOut
from app.store.replicas import Worker

Json = dict[str, Any]


def rfc3339(ms: int | None) -> str | None:
    """`2026-03-01T12:00:00.250Z`."""
    if ms is None:
        return None
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@functools.lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def record_json(record: Record) -> Json:
    """A session as callers see it: never the text of its QR code, which only `qr_json` gives out."""
    why = explain(record)
    return {
        "id": record.id,
        "status": record.status.value,
        "detail": why.detail,
        "next_action": why.next_action,
        "reason": record.reason,
        "code": record.code,
        "epoch": record.epoch,
        "seq": record.seq,
        "owner": record.owner or None,
        "intent": record.intent.value if record.intent else None,
        "attempt": record.attempt,
        "retry_at": rfc3339(record.retry_at),
        "deadline_at": rfc3339(record.deadline_at),
        "qr_id": record.qr_id,
        "qr_expires_at": rfc3339(record.qr_expires_at),
        "qr_count": record.qr_count,
        "jid": record.jid,
        "name": record.name,
        "platform": record.platform,
        "created_at": rfc3339(record.created_at),
        "updated_at": rfc3339(record.updated_at),
        "connected_at": rfc3339(record.connected_at),
    }


def replica_json(worker: Worker, *, this: bool) -> Json:
    """One replica as it last described itself. `this`: it is the one that answers."""
    return {
        "id": worker.id,
        "this": this,
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
        "sessions": worker.sessions,
        "max_sessions": worker.max_sessions,
        "accepting": worker.accepting,
        "held": worker.held,
        "held_for": worker.held_for or None,
        "started_at": rfc3339(worker.started_at),
        "beat_at": rfc3339(worker.beat_at),
    }


def transition_json(entry: Transition) -> Json:
    """One timeline entry."""
    return {
        "seq": entry.seq,
        "at": rfc3339(entry.at),
        "event": entry.event.value,
        "from": entry.from_status.value if entry.from_status else None,
        "to": entry.to_status.value,
        "reason": entry.reason,
        "detail": _meaning(entry.reason),
        "code": entry.code,
        "note": entry.note,
        "epoch": entry.epoch,
        "owner": entry.owner or None,
    }


def qr_json(code: QrCode) -> Json:
    """A QR code with its picture."""
    return {
        "session": code.session,
        "qr_id": code.qr_id,
        "text": code.text,
        "data_url": qr.draw(code.text).data_url(),
        "expires_at": rfc3339(code.expires_at),
        "attempt": code.attempt,
        "limit": code.limit,
    }


def verb_json(message: str, record: Record, **more: object) -> Json:
    """The answer to something that was asked of a session."""
    return {
        "message": message,
        "session": record.id,
        "status": record.status.value,
        **more,
        "record": record_json(record),
    }


def logout_json(answer: LoggedOut) -> Json:
    """The answer to a logout: whether WhatsApp was told, as `unlinked` and in words."""
    name = f"Session {answer.record.id}"
    if answer.unlinked:
        message = f"{name} was logged out: WhatsApp was told to remove the device, and everything was cleared."
    elif answer.was_linked:
        message = (
            f"{name} was logged out here and everything was cleared, but WhatsApp could not be told in time. "
            "If the phone still lists the device, remove it there: WhatsApp > Linked devices."
        )
    else:
        message = f"{name} was not linked: there was nothing to unlink, and nothing of it is kept."
    return verb_json(message, answer.record, unlinked=answer.unlinked)


_encode = json.JSONEncoder(separators=(",", ":")).encode


def dump(content: object) -> bytes:
    """JSON as bytes. ASCII only, so that no text a caller sent can make it fail."""
    return _encode(content).encode("ascii")


class JsonResponse(Response):
    """A JSON answer that no cache keeps: what it says may be untrue a moment later."""

    media_type = "application/json"

    def __init__(self, content: object, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(dump(content), status_code, {"cache-control": "no-store"} | (headers or {}))


def _meaning(reason: str | None) -> str | None:
    try:
        return REASONS[Reason(reason)].detail if reason else None
    except ValueError:
        return None
