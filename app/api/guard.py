"""ASGI middlewares that stand before every route: who may call, CORS, and how large a body may be."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.api.access import Access
from app.api.errors import BodyTooLarge
from app.api.problems import problem_response
from app.errors import RelinkError

_ALLOW_METHODS = "GET, POST, DELETE, OPTIONS"
_ALLOW_HEADERS = "Authorization, X-API-Key, Content-Type, Accept, Last-Event-ID"
_EXPOSE_HEADERS = "Relink-Session, Relink-Qr-Id, Relink-Qr-Expires-At, Retry-After, Allow"


class Guard:
    """Lets through what `access` allows, and adds the CORS headers for pages of CORS_ORIGINS, to errors too."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        origin = next((value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"origin"), None)
        if origin is not None and scope["type"] == "http":
            if self._access.allows_origin(origin):
                send = _with_cors(send, origin)
            if _is_preflight(scope):
                await self._preflight(scope, origin)(scope, receive, send)
                return
        try:
            self._access.check_request(scope.get("method", "GET"), scope["path"], scope["headers"])
        except RelinkError as error:
            await _refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _preflight(self, scope: Scope, origin: str) -> Response:
        try:
            self._access.check_origin(origin)
        except RelinkError as error:
            return problem_response(error, scope)
        headers = {
            "access-control-allow-methods": _ALLOW_METHODS,
            "access-control-allow-headers": _ALLOW_HEADERS,
            "access-control-max-age": "600",
        }
        return Response(status_code=204, headers=headers)


class BodyLimit:
    """Answers 413 to a body of more than `limit` bytes, whether its length was announced or not.

    Socket.IO has its own limit on messages.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/socket.io"):
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            await problem_response(self._error(), scope)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise self._error()
            return message

        await self._app(scope, counted, send)

    def _error(self) -> BodyTooLarge:
        return BodyTooLarge(f"A request's body may have {self._limit:,} bytes at most (MAX_BODY_BYTES).")


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope)


def _with_cors(send: Send, origin: str) -> Send:
    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = _EXPOSE_HEADERS
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_cors


async def _refuse(error: RelinkError, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(error, scope)
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    socket = WebSocket(scope, receive, send)
    await socket.receive()  # the handshake; only now may it be answered
    if "websocket.http.response" in scope.get("extensions", {}):
        await socket.send_denial_response(response)
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": error.title})
