"""One line an event, in both formats, from every logger, and never a secret."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog

from app.logging import AccessLog, Receive, Scope, Send, configure_logging
from app.settings import Settings

API_KEY = "correct-horse-battery-staple"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging belongs to the process: give it back as it was."""
    root = logging.getLogger()
    handlers, level, capturing = root.handlers[:], root.level, warnings.showwarning
    configuration = structlog.get_config()
    disabled = logging.getLogger("uvicorn.access").disabled
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    warnings.showwarning = capturing
    structlog.configure(**configuration)
    logging.getLogger("uvicorn.access").disabled = disabled


def configured(stream: io.StringIO, **settings: Any) -> Any:
    configure_logging(Settings(_env_file=None, **settings), stream)
    return structlog.get_logger("app.test")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_has_one_object_a_line() -> None:
    stream = io.StringIO()
    log = configured(stream, log_format="json")
    log.info("session_connected", session="shop-1", epoch=7, note="two\nlines")
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "session_connected",
        "logger": "app.test",
        "session": "shop-1",
        "epoch": 7,
        "note": "two\nlines",
    }


def test_auto_is_json_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    configured(stream, log_format="auto").info("hello")
    assert lines(stream)[0]["event"] == "hello"


def test_console_cannot_be_made_to_forge_a_line() -> None:
    stream = io.StringIO()
    log = configured(stream, log_format="console")
    log.info("refused\n2026 [error] forged", session="a\nb", note="\x1b[31mred")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_an_exception_is_one_line_of_json_with_its_traceback() -> None:
    stream = io.StringIO()
    log = configured(stream, log_format="json")
    try:
        int("redis://:hunter2@example.com")
    except ValueError:
        log.exception("failed")
        logging.getLogger("some.library").exception("failed too")
    own, foreign = lines(stream)
    for line in (own, foreign):
        assert line["level"] == "error"
        assert "base 10: 'redis://[redacted]@example.com'" in line["exception"]


def test_the_standard_library_comes_out_in_the_same_form() -> None:
    stream = io.StringIO()
    configured(stream, log_format="json")
    logging.getLogger("redis.client").warning("lost %s", "redis://:hunter2@example.com", extra={"attempt": 3})
    (line,) = lines(stream)
    assert line["event"] == "lost redis://[redacted]@example.com"
    assert (line["logger"], line["level"], line["attempt"]) == ("redis.client", "warning", 3)


def test_warnings_are_logged() -> None:
    stream = io.StringIO()
    configured(stream, log_format="json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old" in lines(stream)[0]["event"]


def test_the_level_holds_for_every_logger() -> None:
    stream = io.StringIO()
    log = configured(stream, log_format="json", log_level="WARNING")
    log.info("quiet")
    logging.getLogger("some.library").info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_libraries_that_talk_about_themselves_are_quiet() -> None:
    stream = io.StringIO()
    configured(stream, log_format="json", log_level="INFO")
    for name in ("httpx", "engineio.server", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).info("about me")
    logging.getLogger("uvicorn.error").error("about you")
    assert [line["event"] for line in lines(stream)] == ["about you"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_setting_that_is_a_secret_reaches_the_log(log_format: str) -> None:
    stream = io.StringIO()
    root_key = "0123456789abcdef" * 4
    log = configured(
        stream,
        log_format=log_format,
        api_key=API_KEY,
        redis_url="redis://user:p%40ss-word@127.0.0.1:6379/0",
        whatsapp_url="ws://127.0.0.1:3002/ws/chat",
        whatsapp_root_key=root_key,
    )
    log.warning("mistake", header=API_KEY, note=f"used {API_KEY} and p@ss-word and {root_key}", url="p%40ss-word")
    logging.getLogger("any").error("%s %s", API_KEY, root_key)
    for secret in (API_KEY, "p@ss-word", "p%40ss-word", root_key):
        assert secret not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") == 7


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/raises":
        raise RuntimeError("no answer")
    status = 404 if scope["path"] == "/nowhere" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def ask(*targets: str) -> None:
    transport = httpx.ASGITransport(app=AccessLog(application), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for target in targets:
            await client.get(target)


async def test_the_access_log_has_method_path_status_and_duration() -> None:
    stream = io.StringIO()
    configured(stream, log_format="json")
    await ask("/sessions/shop-1?api_key=abcdefghijkl", "/nowhere", "/raises")
    found = lines(stream)
    assert [(line["method"], line["path"], line["status"]) for line in found] == [
        ("GET", "/sessions/shop-1", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/raises", None),
    ]
    assert all(line["event"] == "request" and 0 <= line["ms"] < 10_000 for line in found)
    assert "abcdefghijkl" not in stream.getvalue()


async def test_probes_and_polling_are_not_logged() -> None:
    stream = io.StringIO()
    configured(stream, log_format="json")
    await ask("/health/ready", "/health/live", "/metrics", "/socket.io/")
    assert stream.getvalue() == ""
