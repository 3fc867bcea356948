"""HTTP with as little between caller and socket as can be, so that what is measured is the service."""

import asyncio
import json
import time
from types import TracebackType
from typing import Any, Self

WAIT_S = 60.0


class HttpProblem(Exception):
    """An answer that is an error."""


class Client:
    """One connection, kept open; made anew when the service has closed it for its idleness. One request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await _connect(self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON (its text where it is none). Raises HttpProblem, TimeoutError."""
        async with asyncio.timeout(WAIT_S):
            if self._reader.at_eof():
                self._reader, self._writer = await _connect(self._port)
            self._writer.write(request(method, path, body))
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            content = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 2"):
            raise HttpProblem(f"{method} {path}: {content.decode()}")
        return json.loads(content) if b"application/json" in head else content.decode()

    async def timed(self, method: str, path: str) -> float:
        """Milliseconds from the request to the last byte of its answer."""
        began = time.monotonic()
        await self.call(method, path)
        return (time.monotonic() - began) * 1000


class Follower:
    """A session's server-sent events, on a connection of its own."""

    def __init__(self, port: int, session: str) -> None:
        self._port = port
        self._session = session

    async def __aenter__(self) -> Self:
        """Returns when the events flow."""
        self._reader, self._writer = await _connect(self._port)
        self._writer.write(request("GET", f"/sessions/{self._session}/events"))
        await self._line(b"event: ")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()

    async def until(self, status: str) -> float:
        """The moment (monotonic clock, s) at which the session was heard to be in `status`."""
        await self._line(b"data: ", f'"status":"{status}"'.encode())
        return time.monotonic()

    async def _line(self, start: bytes, having: bytes = b"") -> None:
        async with asyncio.timeout(WAIT_S):
            while True:
                line = await self._reader.readline()
                if not line:
                    raise HttpProblem(f"the events of {self._session} ended")
                if line.startswith(start) and having in line:
                    return


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, limit=2**20)


def request(method: str, path: str, body: Any = None) -> bytes:
    """The bytes of one request."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
    if content:
        head += "Content-Type: application/json\r\n"
    return f"{head}\r\n".encode() + content
