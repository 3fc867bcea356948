"""What a session's followers hear, and in what order: the same over Socket.IO and as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import structlog

from app.api.schemas import Json, qr_json, record_json, rfc3339, transition_json
from app.errors import NoQrCode, SessionNotFound, StoreUnavailable
from app.model import PER_STATUS_FIELDS, RUNNING, SOCKET, Event, Record, Status, Transition
from app.sessions.reasons import explain
from app.sessions.service import SessionService, Update

log = structlog.get_logger(__name__)

_PAUSE_S = 1.0
"""Between two tries to go on following while Redis is away."""


@dataclass(frozen=True, slots=True)
class News:
    """One event for followers. `seq` is the timeline entry it belongs to, None for a deletion."""

    name: str
    data: Json
    seq: int | None


async def follow(service: SessionService, session: str, after: int | None) -> AsyncGenerator[Update]:
    """As `service.follow`, but goes on by itself when Redis was away: nothing is missed, nothing comes twice.

    Raises what `service.follow` raises for the first update, so that a caller can still be refused.
    """
    begun = False
    while True:
        try:
            async with aclosing(service.follow(session, after)) as updates:
                async for update in updates:
                    if update.transitions or update.record is None or not begun:
                        yield update
                    begun = True
                    if update.record is None:
                        return
                    after = update.record.seq
        except StoreUnavailable as error:
            if not begun:
                raise
            log.info("follow_interrupted", session=session, problem=error.detail)
            await asyncio.sleep(_PAUSE_S)
        except SessionNotFound:
            if not begun:
                raise
            yield Update(None, [])
            return


def deleted(session: str) -> News:
    """The session is gone."""
    return News("session-deleted", {"session": session}, None)


def snapshot(record: Record) -> News:
    """How the session stands."""
    return News("session-status", record_json(record), record.seq)


def tell(update: Update) -> list[News]:
    """Everything to be heard of `update`'s transitions but the QR code, in order."""
    record = update.record
    if record is None:
        return []
    return [news for entry in update.transitions for news in _tell(_record_at(record, entry), entry)]


async def offer(service: SessionService, record: Record) -> News | None:
    """The QR code on offer now, if there is one and Redis tells; asked for anew, so that none that expired is told."""
    if record.status is not Status.QR:
        return None
    try:
        code = await service.current_qr(record.id)
    except (NoQrCode, SessionNotFound, StoreUnavailable):
        return None
    return News("qr", qr_json(code), record.seq)


def _tell(record: Record, entry: Transition) -> list[News]:
    news = [News("timeline-entry", {"session": record.id, **transition_json(entry)}, entry.seq), snapshot(record)]
    account = {"session": record.id, "jid": record.jid, "name": record.name, "platform": record.platform}
    if entry.event is Event.PAIRED:
        news.append(News("authenticated", account, entry.seq))
    elif entry.event is Event.OPEN:
        news.append(News("ready", account | {"connected_at": rfc3339(record.connected_at)}, entry.seq))
    elif _disconnects(entry):
        why = explain(record)
        said = {
            "session": record.id,
            "status": record.status.value,
            "reason": record.reason,
            "detail": why.detail,
            "next_action": why.next_action,
            "code": record.code,
            "retry_at": rfc3339(record.retry_at),
        }
        news.append(News("disconnected", said, entry.seq))
    return news


def _disconnects(entry: Transition) -> bool:
    """Whether the session went offline, or learnt while offline that it is over."""
    if entry.from_status is None or entry.to_status is entry.from_status:
        return False
    if entry.from_status is Status.CONNECTED:
        return True
    if entry.to_status in SOCKET:
        return False
    return entry.from_status in RUNNING or entry.to_status in (Status.LOGGED_OUT, Status.FAILED)


def _record_at(record: Record, entry: Transition) -> Record:
    """The record as it was at `entry`. What the timeline does not keep is as it is now, or empty."""
    if entry.seq == record.seq:
        return record
    forgotten: dict[str, Any] = dict.fromkeys((*PER_STATUS_FIELDS, "intent", "intent_deadline_at"))
    then = replace(record, **forgotten)
    return replace(
        then,
        status=entry.to_status,
        epoch=entry.epoch,
        seq=entry.seq,
        owner=entry.owner,
        reason=entry.reason,
        code=entry.code,
        updated_at=entry.at,
    )
