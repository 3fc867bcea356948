"""The Socket.IO server: connections, what they send, and what they are sent."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError as Refused

from app.api.access import Access
from app.api.errors import InternalError, ServiceStopping, TooManyRequests
from app.api.schemas import Json
from app.api.stopping import Stopping
from app.errors import RelinkError, Unauthorized
from app.metrics import Metrics
from app.model import DEFAULT_SESSION
from app.realtime.clients import MAX_UNDER_WAY, Client
from app.realtime.feeds import Feeds
from app.realtime.transport import Server
from app.realtime.verbs import VERBS, Context, run
from app.sessions.service import SessionService

log = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 1_000_000

_NOT_READ = 64
"""Packets that a client has not read yet at which its sender pauses."""

_LOOK_AGAIN_S = 0.02


class Realtime:
    """`asgi` is the application to mount at /socket.io; it answers clients while `serving` is entered."""

    def __init__(self, access: Access, metrics: Metrics) -> None:
        self._access = access
        self._metrics = metrics
        self._clients: dict[str, Client] = {}
        self._context: Context | None = None
        self._server = Server(
            self._admit,
            async_mode="asgi",
            cors_allowed_origins=[],  # none of its own: `app.api.guard` has the one policy for all faces
            max_http_buffer_size=MAX_MESSAGE_BYTES,
        )
        self._server.on("connect", self._connect)
        self._server.on("disconnect", self._disconnect)
        self._server.on("*", self._event)
        self.asgi = socketio.ASGIApp(self._server)

    @asynccontextmanager
    async def serving(self, service: SessionService, stopping: Stopping) -> AsyncGenerator[None]:
        """Serve clients from `service`; when it begins to stop, send them off to find another replica."""
        feeds = Feeds(service)
        self._context = Context(service, feeds)
        farewell = asyncio.create_task(self._send_off(stopping))
        try:
            yield
        finally:
            self._context = None
            farewell.cancel()
            await asyncio.wait([farewell])
            await self._server.send_off()
            for client in list(self._clients.values()):
                client.close()
            await feeds.close()
            await self._server.close()

    async def _admit(self, sid: str) -> None:
        """Whoever sends too much is read more slowly."""
        client = self._clients.get(sid)
        if client is not None and (delay := client.delay()) > 0:
            await asyncio.sleep(delay)

    async def _connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        try:
            self._check_key(environ, auth)
        except Unauthorized as error:
            raise Refused("Unauthorized: connect with auth: { apiKey: KEY }.", _refusal(error)) from None
        if self._context is None:
            raise Refused("The service is stopping.", _refusal(ServiceStopping("The service is stopping.")))
        self._clients[sid] = client = Client(
            sid, self._emitter(sid), lambda: self._server.start_background_task(self._server.cut, sid)
        )
        self._metrics.clients(1)
        client.spawn(self._join_default(client, self._context))

    async def _disconnect(self, sid: str, _reason: str) -> None:
        client = self._clients.pop(sid, None)
        if client is None:
            return
        client.close()
        self._metrics.clients(-1)
        if self._context is not None:
            for session in self._context.feeds.of(client):
                self._context.feeds.leave(client, session)

    async def _event(self, name: str, sid: str, *args: object) -> Json | None:
        """Run a verb; its answer goes out as an event and as the acknowledgement."""
        client = self._clients.get(sid)
        if client is None:
            return None
        client.under_way += 1
        try:
            answer, code = await self._answer(client, name, args), "ok"
        except RelinkError as error:
            answer, code = _failure(error, args), error.code
        except Exception:
            log.exception("verb_failed", verb=name, client=sid)
            answer, code = _failure(InternalError(), args), InternalError.code
        finally:
            client.under_way -= 1
        self._metrics.verb(name if name in VERBS else "unknown", code)
        await client.send(f"{name[:60]}-{'success' if code == 'ok' else 'error'}", answer)
        return {"ok": code == "ok", **answer}

    async def _answer(self, client: Client, name: str, args: tuple[object, ...]) -> Json:
        if client.under_way > MAX_UNDER_WAY:
            raise TooManyRequests(f"{MAX_UNDER_WAY} of your events are under way; wait for their answers.")
        if self._context is None:
            raise ServiceStopping("The service is stopping; connect again in a moment.")
        return await run(self._context, client, name, args)

    async def _join_default(self, client: Client, context: Context) -> None:
        """Until it says what it wants to hear of, a client hears of `default`."""
        async with client.lock:
            with suppress(RelinkError):
                await context.feeds.join(client, DEFAULT_SESSION)

    def _check_key(self, environ: dict[str, Any], auth: object) -> None:
        """The key comes as `auth: {apiKey}` (or `token`), which browsers can send, or in a header as for REST."""
        given = (auth.get("apiKey") or auth.get("token")) if isinstance(auth, dict) else None
        if isinstance(given, str):
            self._access.check_key(given.encode())
        else:
            self._access.check_headers_key(environ["asgi.scope"]["headers"])

    def _emitter(self, sid: str) -> Any:
        async def emit(name: str, data: Json) -> None:
            socket = self._server.socket_of(sid)
            # Engine.IO takes any number of packets and tells nobody when they were read.
            while socket is not None and not socket.closed and socket.queue.qsize() >= _NOT_READ:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_AGAIN_S)
            await self._server.emit(name, data, to=sid)

        return emit

    async def _send_off(self, stopping: Stopping) -> None:
        await stopping.wait()
        await self._server.send_off()


def _failure(error: RelinkError, args: tuple[object, ...]) -> Json:
    """What an `-error` event says. `session` is the one that was meant, as far as that can be told."""
    session = error.session
    if session is None:
        payload = args[0] if args else {}
        named = payload.get("session", DEFAULT_SESSION) if isinstance(payload, dict) else None
        session = named[:80] if isinstance(named, str) else None
    return {"error": error.detail, "code": error.code, "next_action": error.next_action, "session": session}


def _refusal(error: RelinkError) -> Json:
    return {"error": error.detail, "code": error.code, "next_action": error.next_action}
