"""Who may call: the API key, and pages of other sites."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.integration.api.test_errors import check_problem
from tests.support.face import Face, serving
from tests.support.redis_server import RedisServer

KEY = "correct-horse-battery"
OPEN = ["/health/live", "/health/ready", "/", "/docs", "/openapi.json", "/static/mark.svg"]
CLOSED = [
    "/status",
    "/sessions",
    "/sessions/default",
    "/sessions/default/qr",
    "/sessions/default/events",
    "/metrics",
    "/x",
]


@pytest.fixture
async def locked(redis: RedisServer) -> AsyncIterator[Face]:
    """A replica that asks for a key."""
    async with serving(redis.url, api_key=KEY, cors_origins="https://app.example.com") as face:
        yield face


@pytest.fixture
async def shared(redis: RedisServer) -> AsyncIterator[Face]:
    """A replica without a key that pages of one other origin may call."""
    async with serving(redis.url, cors_origins="https://app.example.com") as face:
        yield face


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
async def test_the_key_opens_everything_in_either_header(locked: Face, header: str) -> None:
    value = KEY if header == "x-api-key" else f"bearer {KEY}"
    assert (await locked.http.get("/status", headers={header: value})).status_code == 200
    assert (await locked.http.post("/force-reset", headers={header: value})).status_code == 200


@pytest.mark.invariant("I10")
async def test_without_the_key_everything_is_closed_but_probes_page_and_description(locked: Face) -> None:
    before = await locked.records()
    wrong: list[dict[str, str]] = [
        {},
        {"x-api-key": "wrong"},
        {"x-api-key": ""},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer"},
        {"x-api-key": KEY[:-1]},
    ]
    for headers in wrong:
        for path in CLOSED:
            answer = await locked.http.get(path, headers=headers)
            check_problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        check_problem(await locked.http.post("/force-reset", headers=headers), 401, "unauthorized")
        check_problem(await locked.http.delete("/sessions/default", headers=headers), 401, "unauthorized")
    for path in OPEN:
        assert (await locked.http.get(path)).status_code == 200, path
    assert await locked.records() == before


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1"])
async def test_a_page_elsewhere_cannot_change_anything(face: Face, origin: str) -> None:
    before = await face.records()
    for method, path in (
        ("POST", "/force-reset"),
        ("POST", "/sessions/default/start"),
        ("DELETE", "/sessions/default"),
    ):
        answer = await face.http.request(method, path, headers={"origin": origin})
        check_problem(answer, 403, "forbidden_origin")
    read = await face.http.get("/status", headers={"origin": origin})
    assert "access-control-allow-origin" not in read.headers
    assert await face.records() == before


async def test_the_services_own_page_can(face: Face) -> None:
    assert (await face.http.post("/force-reset", headers={"origin": face.url})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1", "[::2]:80", ""]
)
async def test_a_name_that_was_pointed_here_is_refused(face: Face, host: str) -> None:
    before = await face.records()
    for method, path in (("GET", "/status"), ("POST", "/force-reset"), ("GET", "/")):
        answer = await face.http.request(method, path, headers={"host": host})
        check_problem(answer, 403, "forbidden_host")
    assert (await face.http.get("/health/live", headers={"host": host})).status_code == 200
    assert await face.records() == before


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:4", "[::1]", "[::1]:3001", "a.localhost"]
)
async def test_names_of_this_machine_are_welcome(face: Face, host: str) -> None:
    assert (await face.http.get("/status", headers={"host": host})).status_code == 200


async def test_pages_of_allowed_origins_can_call_and_read(shared: Face) -> None:
    origin = {"origin": "https://app.example.com"}
    answer = await shared.http.post("/generate-qr", headers=origin)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "relink-qr-id" in answer.headers["access-control-expose-headers"].lower()
    assert "origin" in answer.headers["vary"].lower()
    error = await shared.http.get("/sessions/nobody", headers=origin)
    assert error.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_preflights(locked: Face) -> None:
    """A browser asks without the key whether it may send it."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    allowed = await locked.http.options("/force-reset", headers=asked | {"origin": "https://app.example.com"})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    refused = await locked.http.options("/force-reset", headers=asked | {"origin": "https://evil.example"})
    check_problem(refused, 403, "forbidden_origin")


async def test_a_star_allows_every_origin(redis: RedisServer) -> None:
    async with serving(redis.url, cors_origins="*") as face:
        answer = await face.http.post("/force-reset", headers={"origin": "https://any.example"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://any.example"


async def test_a_websocket_from_a_page_elsewhere_is_refused(face: Face) -> None:
    """No CORS protects WebSockets: the handshake itself must be refused."""
    url = httpx.URL(face.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"forbidden_origin" in answer
    polled = await face.http.get("/socket.io/?EIO=4&transport=polling", headers={"origin": "https://evil.example"})
    check_problem(polled, 403, "forbidden_origin")
