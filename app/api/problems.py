"""Errors as RFC 9457 `application/problem+json`, whatever went wrong and wherever."""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from app.api.errors import InternalError, MethodNotAllowed, RouteNotFound
from app.api.schemas import Json, dump
from app.errors import InvalidRequest, RelinkError
from app.model import SESSION_ID

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def problem_json(error: RelinkError, instance: str | None = None) -> Json:
    """The body: RFC 9457's members, and `code`, `next_action`, `session` as extensions."""
    body: Json = {
        "type": f"urn:relink:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "next_action": error.next_action,
    }
    if instance is not None:
        body["instance"] = instance
    if error.session is not None and SESSION_ID.fullmatch(error.session):
        body["session"] = error.session
    return body


def problem_response(
    error: RelinkError, scope: Scope, headers: Mapping[str, str] | None = None, more: Mapping[str, object] | None = None
) -> Response:
    """`error` as an answer to the request of `scope`; `more` are further members of the body."""
    all_headers = {"cache-control": "no-store"} | dict(headers or {})
    if error.retry_after is not None:
        all_headers["retry-after"] = str(error.retry_after)
    if error.status == 401:
        all_headers["www-authenticate"] = 'Bearer realm="relink"'
    body = problem_json(error, quote(scope["path"][:200])) | dict(more or {})
    return Response(dump(body), error.status, all_headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Make `app` answer every error as a problem."""
    app.add_exception_handler(RelinkError, _relink_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)


async def _relink_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RelinkError)
    return problem_response(error, request.scope)


async def _validation_error(request: Request, error: Exception) -> Response:
    """What FastAPI found in the address: names the parameter and what is wrong with it."""
    assert isinstance(error, RequestValidationError)
    said = "; ".join(f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors()[:3])
    return problem_response(InvalidRequest(f"The request's parameters are not valid. {said[:400]}."), request.scope)


async def _http_error(request: Request, error: Exception) -> Response:
    """Errors of the router, and of parts that raise Starlette's own exception."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = ", ".join(methods_of(request.app, request.scope))
        detail = f"{request.method} does not work here. Allowed: {allowed}."
        return problem_response(MethodNotAllowed(detail), request.scope, {"allow": allowed})
    if error.status_code == 404:
        detail = error.detail if error.detail != "Not Found" else "There is nothing at this address; /docs lists all."
        return problem_response(RouteNotFound(detail), request.scope)
    phrase = HTTPStatus(error.status_code).phrase
    body = problem_json(RelinkError(error.detail), quote(request.scope["path"][:200]))
    body |= {"status": error.status_code, "title": phrase, "code": phrase.lower().replace(" ", "_")}
    return Response(
        dump(body | {"type": f"urn:relink:problem:{body['code']}"}),
        error.status_code,
        {"cache-control": "no-store"} | dict(error.headers or {}),
        media_type="application/problem+json",
    )


async def _unforeseen(request: Request, _: Exception) -> Response:
    """Starlette raises the exception again after this, and the server logs it with its traceback."""
    return problem_response(InternalError(), request.scope)


def methods_of(app: FastAPI, scope: Scope) -> list[str]:
    """The methods that work at the address of `scope`, over all routes: several may share it."""
    return [
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.router.routes)
    ]
