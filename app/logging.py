"""Logs: one line an event, on standard error, as JSON or for a terminal. Every logger of the process goes through it.

Code logs with `structlog.get_logger()` and names what happened in snake_case, facts as fields:
`log.info("session_connected", session=id, epoch=7)`. Records of the standard library (uvicorn, redis, asyncio,
warnings) come out in the same form. Secrets are taken out by `app.redaction`, whoever logged them.
"""

import logging
import logging.config
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TextIO
from urllib.parse import quote_plus, urlsplit

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.redaction import Redactor
from app.settings import Settings
from app.store import url as redis_url

_CHATTY = ("uvicorn.error", "httpx", "httpcore", "engineio", "socketio", "asyncio", "watchfiles", "websockets")
"""Loggers whose INFO is about themselves."""

_CONTROL = {**{code: f"\\x{code:02x}" for code in (*range(32), 127)}, 9: "\\t", 10: "\\n", 13: "\\r"}


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send every logger of this process to `stream` (None: standard error), as `settings` says. Can be repeated."""
    stream = sys.stderr if stream is None else stream
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())
    described: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered = _rendering(as_json, colors=stream.isatty(), redactor=Redactor(_secrets(settings)))
    level = logging.getLevelNamesMapping()[settings.log_level]
    # Structlog's events do not pass through the standard library, which would cost 100 µs for each.
    structlog.configure(
        processors=[*described, *rendered],
        logger_factory=lambda *names: _Lines(names[0] if names else "relink", stream),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *described],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, level))
    logging.getLogger("uvicorn.access").disabled = True  # AccessLog below writes those lines, with their duration
    logging.captureWarnings(True)


class _Lines:
    """What structlog calls a logger: takes finished lines, one at a time."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name = name
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one line, whole: the stream's own lock keeps lines of threads apart."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    debug = info = warning = error = critical = fatal = exception = log = msg


def _rendering(as_json: bool, *, colors: bool, redactor: Redactor) -> list[Processor]:
    def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        made_here = {key: event.pop(key) for key in ("timestamp", "level") if key in event}
        named = {"event": redactor.value(event.pop("event", "")), "logger": event.pop("logger", "")}
        return {**made_here, **named, **{key: redactor.value(value, key) for key, value in event.items()}}

    if as_json:
        return [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer(ensure_ascii=False)]
    console = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=24)
    return [structlog.processors.format_exc_info, redact, _one_line, console]


def _one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Whoever writes the text of an event cannot forge a second line; a traceback keeps its own."""
    return {k: v.translate(_CONTROL) if isinstance(v, str) and k != "exception" else v for k, v in event.items()}


def _secrets(settings: Settings) -> list[str]:
    found = [settings.whatsapp_root_key or ""]
    if settings.api_key is not None:
        found.append(settings.api_key.get_secret_value())
    if settings.redis_url is not None:
        address = redis_url.parse(settings.redis_url)
        given = [address.password or "", address.sentinel_password or ""]
        found += [*given, *map(quote_plus, given), urlsplit(settings.redis_url).password or ""]
    return found


Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_QUIET_PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})


class AccessLog:
    """ASGI middleware: one line a request with method, path (no query), status and milliseconds to the last byte.

    Probes that succeed, and Socket.IO's polling, are logged at DEBUG only. WebSockets are not requests of their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.get_logger("relink.access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            path = scope["path"]
            quiet = status < 400 and (path in _QUIET_PATHS or path.startswith("/socket.io"))
            (self._log.debug if quiet else self._log.info)(
                "request",
                method=scope["method"],
                path=path[:200],
                status=status or None,  # None: the caller went away before there was an answer
                ms=round((time.perf_counter() - started) * 1000, 1),
            )
