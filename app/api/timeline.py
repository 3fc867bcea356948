"""What happened to a session."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import examples, models, openapi
from app.api.deps import Service, SessionId
from app.api.inputs import MAX_SEQ
from app.api.schemas import JsonResponse, transition_json
from app.errors import SessionNotFound

router = APIRouter(tags=["sessions"])


class TimelineQuery(BaseModel):
    """Which entries to list."""

    model_config = ConfigDict(extra="forbid")

    after: int | None = Field(
        None, ge=0, le=MAX_SEQ, description="Only entries after this number; absent: the newest `limit` entries."
    )
    limit: int = Field(100, ge=1, le=1_000, description="Entries at most.")


@router.get(
    "/sessions/{id}/timeline",
    summary="What happened to a session",
    responses=openapi.answers(
        "Entries, oldest first.", models.Timeline, examples.TIMELINE, (*openapi.SESSION, SessionNotFound)
    ),
)
async def timeline(service: Service, session: SessionId, query: Annotated[TimelineQuery, Query()]) -> Response:
    """Every transition has one entry, numbered without gaps; the newest thousand or so are kept."""
    if query.after is None:
        entries = await service.timeline_tail(session, query.limit)
    else:
        entries = await service.timeline(session, query.after, query.limit)
    more = query.after is not None and len(entries) == query.limit
    return JsonResponse(
        {
            "session": session,
            "entries": [transition_json(entry) for entry in entries],
            "next": entries[-1].seq if more else None,
        }
    )
