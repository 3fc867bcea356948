"""`python -m benchmarks.load`: one GET over and over, on connections that stay open, for a bounded time. Prints JSON:
requests `per_second` and their latencies. Ends with status 1 at the first answer that is not 200."""

import argparse
import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from benchmarks.http import request
from benchmarks.report import summarize

MOST = 1_000_000
"""Requests in all; then it ends even if there is time left."""


class Caller(asyncio.Protocol):
    """Asks again as soon as it was answered."""

    def __init__(self, path: str, latencies: list[float], failed: asyncio.Event) -> None:
        self._request = request("GET", path)
        self._latencies = latencies
        self._failed = failed
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, there, body = self._answer.partition(b"\r\n\r\n")
        if not there:
            return
        start = head.lower().index(b"content-length:") + 15
        if len(body) < int(head[start : start + 10].partition(b"\r")[0]):
            return
        self._latencies.append(time.perf_counter() - self._asked)
        if not head.startswith(b"HTTP/1.1 200") or len(self._latencies) >= MOST:
            self._failed.set()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._failed.set()

    def _ask(self) -> None:
        self._answer = b""
        self._asked = time.perf_counter()
        self._transport.write(self._request)


async def run(port: int, path: str, connections: int, seconds: float) -> dict[str, float] | None:
    """What it measured; None when an answer was not 200."""
    latencies: list[float] = []
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(path, latencies, failed), "127.0.0.1", port)
    try:
        await asyncio.wait_for(failed.wait(), seconds)
    except TimeoutError:
        took = time.perf_counter() - began
        found = summarize(latencies)
        return {"per_second": found.count / took, "p50_ms": found.median * 1000, "p95_ms": found.p95 * 1000}
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options.port, options.path, options.connections, options.seconds))
    print(json.dumps(found))
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
