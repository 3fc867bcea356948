"""A session's news as server-sent events, for callers without Socket.IO: `curl -N`, `EventSource`, any HTTP client."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.sse import format_sse_event
from starlette.responses import Response, StreamingResponse

from app.api import examples, news, openapi
from app.api.deps import Service, SessionId, StoppingService
from app.api.inputs import check_session_id, read_input, read_query
from app.api.news import News
from app.api.schemas import dump
from app.api.stopping import Stopping
from app.errors import InvalidRequest, SessionNotFound
from app.sessions.service import SessionService, Update

router = APIRouter(tags=["sessions"])

HEARTBEAT_S = 15.0
"""Proxies cut connections that say nothing for 30 to 60 seconds."""

_RETRY_MS = 1000
_STREAM = {"text/event-stream": {"schema": {"type": "string"}, "example": examples.EVENTS}}


@router.get(
    "/sessions/{id}/events",
    response_class=Response,
    summary="Follow a session (server-sent events)",
    responses={
        200: {"description": "Events, without end.", "content": _STREAM},
        **openapi.problems((*openapi.SESSION, SessionNotFound)),
    },
    openapi_extra=openapi.query("after", "As Last-Event-ID, which wins.", {"type": "integer", "minimum": 0}),
)
async def events(
    request: Request,
    service: Service,
    stopping: StoppingService,
    session: SessionId,
    last_event_id: Annotated[str | None, Header(description="The `id` of the last event that was received.")] = None,
) -> Response:
    """The events of Socket.IO by the same names. With Last-Event-ID, first all that was missed since then."""
    check_session_id(session)
    after = read_input(read_query(request.query_params, ("after",)), ("after",)).after
    if last_event_id is not None:
        after = _sequence_number(last_event_id)
    updates = news.follow(service, session, after)
    first = await anext(updates)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(
        _stream(service, session, first, updates, stopping), headers=headers, media_type="text/event-stream"
    )


def _sequence_number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise InvalidRequest("Last-Event-ID must be the `id` of an event of this stream: a whole number.")
    return int(text)


async def _stream(
    service: SessionService, session: str, first: Update, updates: AsyncGenerator[Update], stopping: Stopping
) -> AsyncIterator[bytes]:
    yield f"retry: {_RETRY_MS}\n\n".encode()
    stop = asyncio.create_task(stopping.wait())
    coming: asyncio.Task[Update] | None = None
    update: Update | None = first
    told_code: str | None = None
    try:
        while True:
            if update is None:
                yield b": still here\n\n"
            elif update.record is None:
                yield _encode([news.deleted(session)])
                return
            else:
                said = news.tell(update) or [news.snapshot(update.record)]
                if update.record.qr_id != told_code and (code := await news.offer(service, update.record)):
                    said.append(code)
                    told_code = update.record.qr_id
                yield _encode(said)
            coming = coming or asyncio.create_task(_next(updates))
            await asyncio.wait((coming, stop), timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return
            update, coming = (coming.result(), None) if coming.done() else (None, coming)
    finally:
        running = [task for task in (coming, stop) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await updates.aclose()


async def _next(updates: AsyncGenerator[Update]) -> Update:
    return await anext(updates)


def _encode(said: Iterable[News]) -> bytes:
    """Each as one event. Only the last of a timeline entry carries its number as `id`: whoever is cut off in between
    hears the entry again."""
    said = list(said)
    out = []
    for one, following in zip(said, [*said[1:], None], strict=True):
        last = following is None or following.seq != one.seq
        number = str(one.seq) if last and one.seq is not None else None
        out.append(format_sse_event(data_str=dump(one.data).decode(), event=one.name, id=number))
    return b"".join(out)
