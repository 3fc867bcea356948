"""`relink serve`: the service in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import structlog
import uvicorn

from app import __version__
from app.cli.config import url_of
from app.cli.errors import CliError, Exit
from app.engine.base import EngineError
from app.errors import RelinkError
from app.logging import AccessLog, ASGIApp, Message, Receive, Scope, Send, configure_logging
from app.main import create_app
from app.settings import Settings
from app.store.embedded import EmbeddedError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_EXPLAINED = (RelinkError, EngineError, EmbeddedError)
"""What can keep the service from starting and says itself what to do; anything else is a bug, with its traceback."""

_DRAIN_SECONDS = 2
"""How long open requests may go on after a signal. What has no end by itself hears of the signal and ends at once; the
closing of sessions comes afterwards and has a bound of its own, SHUTDOWN_TIMEOUT."""

_PATIENCE_S = (2.0, 1.0, 1.0)
"""Seconds that a start halfway has to clean up, after each time that it is told to end."""

_LARGEST_WEBSOCKET_MESSAGE = 1_000_000
"""Bytes; what python-socketio takes at most."""


def serve(settings: Settings, on_ready: Callable[[str], None] | None = None) -> Exit:
    """Serve until a signal; `on_ready` is called with the URL once the service answers.

    Raises CliError (USAGE) when the address is not to be had, or a part that is needed cannot be started; a start that
    fails for any other reason answers FAILED, and the log has the traceback.
    """
    configure_logging(settings)
    log = structlog.get_logger("relink")
    with _bound_socket(settings.host, settings.port) as listener:
        url = url_of(settings.host, listener.getsockname()[1])
        app = _Startup(AccessLog(create_app(settings)))

        def ready() -> None:
            log.info(
                "serving",
                url=url,
                version=__version__,
                whatsapp="real" if settings.whatsapp_url is None else settings.whatsapp_url,
            )
            if on_ready is not None:
                on_ready(url)

        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            ws_max_size=_LARGEST_WEBSOCKET_MESSAGE,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        server = _Server(config, ready)
        try:
            with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.run(server.serve(sockets=[listener]))
        except SystemExit:  # uvicorn's way to say that the application did not start
            if isinstance(app.error, _EXPLAINED):
                raise CliError(f"Relink cannot start: {app.error}", status=Exit.USAGE) from app.error
            return Exit.FAILED
    log.info("stopped")
    return Exit.OK


class _Server(uvicorn.Server):
    """Uvicorn that ends with status 0 when it was asked to end, ends a start halfway, and tells when it is ready."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._on_ready()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and return when it was asked to end, even if that was during the start."""
        try:
            await super().serve(sockets)
        except asyncio.CancelledError:
            if not self.should_exit:
                raise
            await _end_the_rest()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but without raising the signal again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        serving = asyncio.current_task()
        log = structlog.get_logger("relink")

        def stop(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)
            loop.call_soon_threadsafe(lambda: log.info("stopping", signal=signal.Signals(number).name))
            if not self.started and serving is not None:
                loop.call_soon_threadsafe(serving.cancel)

        before = {number: signal.signal(number, stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


async def _end_the_rest() -> None:
    """Cancel what a start halfway has begun, and again what overheard it: redis-py does, while it connects."""
    for patience in _PATIENCE_S:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=patience)


class _Startup:
    """Keeps the exception of a failed start, which the server would only log, for `serve` to explain."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.error: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[Message] = []

        async def hold(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold)
        except BaseException as error:
            if not failed:
                raise
            self.error = error
        for message in failed:
            known = isinstance(self.error, (*_EXPLAINED, asyncio.CancelledError))
            await send({**message, "message": ""} if known else message)


def _bound_socket(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: a caller is refused, not kept waiting, until the service is ready."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CliError(f"HOST={host} is not an address of this machine: {error}.", status=Exit.USAGE) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise CliError(
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            hint=f"Another program may use port {port}: stop it, or choose another one, for example "
            f"PORT={port + 1 if port < 65_535 else 3001}.",
            status=Exit.USAGE,
        ) from error
    return listener
