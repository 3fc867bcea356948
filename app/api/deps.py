"""What routes ask for: the service, and which session a request is about."""

from typing import Annotated, Any, cast

from fastapi import Depends, Path, Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from app.api.inputs import Input, check_session_id, read_body, read_input, read_query
from app.api.stopping import Stopping
from app.engine.baileys import BaileysEngine
from app.engine.worker import ProcessStats
from app.errors import InvalidRequest
from app.lifespan import Relink
from app.sessions.service import SessionService


def service_of(request: Request) -> SessionService:
    """The service behind the application that `request` came to."""
    return cast(SessionService, request.app.state.relink.service)


def bridges_of(relink: Relink) -> tuple[ProcessStats, ...]:
    """The bridge processes behind `relink`, as they stand; none where the engine needs none."""
    return relink.engine.stats().processes if isinstance(relink.engine, BaileysEngine) else ()


async def _service(request: Request) -> SessionService:
    return service_of(request)  # as a coroutine function: FastAPI would run a plain one in a thread


async def _stopping(request: Request) -> Stopping:
    return cast(Stopping, request.app.state.stopping)


async def flat_input(request: Request, *more: str, beside: tuple[str, ...] = ()) -> Input:
    """What a flat call says, in its JSON body or its query; `beside`: parameters of the query that are read elsewhere.

    Raises InvalidRequest, also when body and query both name a field.
    """
    allowed = ("session", *more)
    return read_input(await _merged(request, allowed, beside), allowed)


async def path_input(request: Request, session: str, *more: str, beside: tuple[str, ...] = ()) -> Input:
    """What a resource call says beside the session in its path. A body may repeat that session, not contradict it."""
    check_session_id(session)
    given = read_input({"session": session, **await _merged(request, more, beside)}, ("session", *more))
    if given.session != session:
        raise InvalidRequest(f"The request names session {given.session!r}, its path {session!r}.")
    return given


async def _merged(request: Request, allowed: tuple[str, ...], beside: tuple[str, ...]) -> dict[str, object]:
    from_query = read_query(request.query_params, allowed, beside)
    from_body = await read_body(request)
    both = from_query.keys() & from_body.keys()
    if both:
        raise InvalidRequest(f"{min(both)[:40]!r} is in the query and in the body; give it once.")
    return from_query | from_body


async def _flat_session(request: Request) -> str:
    return (await flat_input(request)).session


async def _path_session(request: Request, session: Annotated[str, Path(alias="id")]) -> str:
    return (await path_input(request, session)).session


Service = Annotated[SessionService, Depends(_service)]
StoppingService = Annotated[Stopping, Depends(_stopping)]

SessionId = Annotated[str, Path(alias="id", description="The session's id.", examples=["default"])]
"""The id in the path, unchecked: the service checks it. For calls that read nothing else from the request."""

FlatSession = Annotated[str, Depends(_flat_session)]
"""The session of a flat verb: body or query, `default` where none is named."""

PathSession = Annotated[str, Depends(_path_session)]
"""The session of a resource verb, with body and query checked."""


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request and nothing else: described like any other, and about 80 µs faster,
    for FastAPI's dependencies are left out. Not for `include_router`, which would not ask it."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response = await cast(Any, self.endpoint)(Request(scope, receive, send))
        await response(scope, receive, send)
