"""`relink serve`: the service in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import structlog
import uvicorn

from app import __version__
from app.cli.config import url_of
from app.cli.errors import CliError, Exit
from app.logging import AccessLog, configure_logging
from app.main import create_app
from app.settings import Settings

_DRAIN_SECONDS = 2
"""How long open requests may go on after a signal, before sessions are closed. Event streams never end by themselves,
so this is what each costs at a stop; SHUTDOWN_TIMEOUT, which bounds the closing of sessions, comes after it."""

_LARGEST_WEBSOCKET_MESSAGE = 1_000_000
"""Bytes; what python-socketio takes at most."""


class _Server(uvicorn.Server):
    """Uvicorn that ends with status 0 when it was asked to end, and tells when it is ready."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, without raising the signal again at the end; one that comes during a start ends the start."""
        loop = asyncio.get_running_loop()
        serving = asyncio.current_task()

        def stop(number: signal.Signals) -> None:
            structlog.get_logger("relink").info("stopping", signal=number.name)
            self.handle_exit(number, None)
            if not self.started and serving is not None:
                serving.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        try:
            yield
        except asyncio.CancelledError:
            if not self.should_exit:
                raise
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def serve(settings: Settings) -> Exit:
    """Serve until a signal. Raises CliError when the address is not to be had; a failed start answers FAILED."""
    configure_logging(settings)
    log = structlog.get_logger("relink")
    with _listening_socket(settings.host, settings.port) as listener:
        url = url_of(settings.host, listener.getsockname()[1])

        def ready() -> None:
            log.info(
                "ready",
                url=url,
                version=__version__,
                redis="REDIS_URL" if settings.redis_url else f"embedded in {settings.data_dir}",
                whatsapp="simulated" if settings.whatsapp_root_key else settings.whatsapp_url or "real",
            )
            if sys.stderr.isatty():
                print(f"\n  Relink serves on {url}   (page: {url}/  API: {url}/docs  stop: Ctrl-C)\n", file=sys.stderr)

        config = uvicorn.Config(
            AccessLog(create_app(settings)),
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
        except SystemExit:  # uvicorn's way to say that the application did not start; it has logged why
            return Exit.FAILED
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
    log.info("stopped")
    return Exit.OK


def _listening_socket(host: str, port: int) -> socket.socket:
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
