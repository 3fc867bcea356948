"""One session's record, on both faces. This is the call that is made most often: one round trip to Redis, and as little
else as can be."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from app.api import examples, models, openapi
from app.api.deps import DirectRoute, service_of
from app.api.inputs import read_input, read_query
from app.api.schemas import JsonResponse, record_json
from app.errors import SessionNotFound

_ANSWERS = openapi.answers(
    "The session as it stands.", models.Session, examples.SESSION, (*openapi.SESSION, SessionNotFound)
)


async def flat_status(request: Request) -> Response:
    """The record of the session named in the query, `default` if absent."""
    session = "default"
    if request.scope["query_string"]:
        session = read_input(read_query(request.query_params, ("session",)), ("session",)).session
    return JsonResponse(record_json(await service_of(request).get(session)))


async def session_status(request: Request) -> Response:
    """The session's record."""
    if request.scope["query_string"]:
        read_input(read_query(request.query_params, ()), ())
    return JsonResponse(record_json(await service_of(request).get(request.path_params["id"])))


def install(app: FastAPI) -> None:
    """Add the routes. Call it first: routes are tried in their order."""
    app.router.add_api_route(
        "/status",
        flat_status,
        methods=["GET"],
        summary="Read a session",
        tags=["flat"],
        responses=_ANSWERS,
        openapi_extra=openapi.query("session", "The session; `default` if absent.", {"type": "string"}),
        route_class_override=DirectRoute,
    )
    app.router.add_api_route(
        "/sessions/{id}",
        session_status,
        methods=["GET"],
        summary="Read a session",
        tags=["sessions"],
        responses=_ANSWERS,
        openapi_extra=openapi.path("id", "The session's id."),
        route_class_override=DirectRoute,
    )
