"""The resource face: the list of sessions, and each session's verbs."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import examples, models, openapi, verbs
from app.api.deps import PathSession, Service
from app.api.inputs import check_session_id
from app.api.schemas import JsonResponse, record_json
from app.errors import SessionNotFound

router = APIRouter(tags=["sessions"])

_ON_SESSION = (*openapi.VERB, SessionNotFound)


class PageQuery(BaseModel):
    """Which sessions to list."""

    model_config = ConfigDict(extra="forbid")

    after: str = Field("", max_length=64, description="The `next` of the page before.")
    limit: int = Field(100, ge=1, le=1_000, description="Sessions on this page at most.")
    prefix: str = Field("", max_length=64, description="Only sessions whose id begins with this.")


@router.get(
    "/sessions",
    summary="List sessions",
    responses=openapi.answers("One page, by id.", models.SessionPage, examples.PAGE, openapi.ANY),
)
async def list_sessions(service: Service, query: Annotated[PageQuery, Query()]) -> Response:
    """Pages through all sessions by their ids. A session created meanwhile may or may not be among them."""
    for text in (query.after, query.prefix):
        if text:
            check_session_id(text)
    page = await service.page(query.after, query.limit, query.prefix)
    return JsonResponse({"sessions": [record_json(record) for record in page.records], "next": page.next})


@router.post(
    "/sessions/{id}/start",
    summary="Start a session",
    responses=openapi.answers("It runs now.", models.Done, examples.STARTED, openapi.STARTING),
)
async def start(service: Service, session: PathSession) -> Response:
    """Starts the session, with its link if it has one, and creates it if there is none. A live one answers as it is."""
    return JsonResponse(await verbs.start(service, session))


@router.post(
    "/sessions/{id}/stop",
    summary="Go offline and keep the link",
    responses=openapi.answers("It does not run now.", models.Done, examples.STOPPED, _ON_SESSION),
)
async def stop(service: Service, session: PathSession) -> Response:
    """Closes the connection; the link is kept, and a later start needs no QR code."""
    return JsonResponse(await verbs.stop(service, session))


@router.post(
    "/sessions/{id}/logout",
    summary="Log a session out",
    responses=openapi.answers("Cleared.", models.LoggedOut, examples.LOGGED_OUT, _ON_SESSION),
)
async def logout(service: Service, session: PathSession) -> Response:
    """Unlinks at WhatsApp, then clears. `unlinked` says whether WhatsApp was told in time; it is cleared either way."""
    return JsonResponse(await verbs.logout(service, session))


@router.post(
    "/sessions/{id}/force-reset",
    summary="Clear a session now",
    responses=openapi.answers("Cleared.", models.Done, examples.RESET, _ON_SESSION),
)
async def force_reset(service: Service, session: PathSession) -> Response:
    """Clears everything of the session from any status, with nobody's help but Redis'. It waits for nobody; a device
    that is online is unlinked in passing."""
    return JsonResponse(await verbs.force_reset(service, session))


@router.delete(
    "/sessions/{id}",
    summary="Delete a session",
    responses=openapi.answers("Gone.", models.Deleted, examples.DELETED, _ON_SESSION),
)
async def delete(service: Service, session: PathSession) -> Response:
    """Removes the session and all that is known of it, its timeline included. A device that is online is unlinked in
    passing; to be sure of that, log out first."""
    return JsonResponse(await verbs.delete(service, session))
