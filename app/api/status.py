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

_IN_QUERY = openapi.query("session", "The session; `default` if absent.", {"type": "string"})
_IN_PATH = openapi.path("id", "The session's id.")


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
    """Add the routes, before all others: routes are tried in their order."""
    others = list(app.router.routes)
    for path, endpoint, tag, parameter in (
        ("/status", flat_status, "flat", _IN_QUERY),
        ("/sessions/{id}", session_status, "sessions", _IN_PATH),
    ):
        app.router.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            summary="Read a session",
            tags=[tag],
            responses=_ANSWERS,
            openapi_extra=parameter,
            route_class_override=DirectRoute,
        )
    added = app.router.routes[len(others) :]
    app.router.routes[:] = [*added, *others]
