"""The processes that are measured: the service, Baileys alone, the simulator and Redis between and behind them."""

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from app.engine.node import find_node
from benchmarks import machine
from benchmarks.http import Client, Follower
from tests.support.redis_server import RedisServer, redis_server
from tests.support.simulator import Simulator

WAIT_S = 60.0
PER_PHONE = 200
"""Links of one simulated phone; it has room for 255."""

_METRIC = re.compile(r'^relink_redis_seconds_(count|sum)\{operation="([^"]+)"\} (\S+)$', re.MULTILINE)


class Phones:
    """The simulator, with a phone that has room for every scan."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._scans = count()
        self._phone = ""

    async def scan(self, qr: str) -> float:
        """Scan a code. Returns when the scan began (monotonic clock, s)."""
        if next(self._scans) % PER_PHONE == 0:
            self._phone = await self.simulator.add_phone()
        phone, began = self._phone, time.monotonic()
        await self.simulator.scan(qr, phone=phone)
        return began


@dataclass
class Service:
    """A running `relink serve`, as installed, with its default settings but for Redis and WhatsApp."""

    pid: int
    port: int
    redis: RedisServer

    @property
    def bridge_pid(self) -> int:
        """The Node process behind it."""
        (bridge,) = machine.children(self.pid)
        return bridge

    def client(self) -> Client:
        return Client(self.port)

    def follow(self, session: str) -> Follower:
        return Follower(self.port, session)

    async def redis_times(self) -> dict[str, tuple[int, float]]:
        """What the service counted so far: round trips and their seconds, by script or command."""
        async with self.client() as client:
            text: str = await client.call("GET", "/metrics")
        found: dict[str, dict[str, float]] = {}
        for kind, operation, value in _METRIC.findall(text):
            found.setdefault(operation, {})[kind] = float(value)
        return {operation: (int(values["count"]), values["sum"]) for operation, values in found.items()}


@asynccontextmanager
async def service(redis: RedisServer, simulator: Simulator) -> AsyncIterator[Service]:
    """Start one on a free port, with its log in a file; SIGTERM at the end."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PORT": "0",
        "LOG_FORMAT": "json",
        "REDIS_URL": redis.url,
        **simulator.environment,
    }
    with tempfile.TemporaryDirectory(prefix="relink-bench-") as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "app", "serve", cwd=directory, env=environment, stdout=output, stderr=output
            )
        try:
            yield Service(process.pid, await _serving(process, log), redis)
        finally:
            await _end(process)


async def _serving(process: asyncio.subprocess.Process, log: Path) -> int:
    """The port, once the log says that it is served."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and process.returncode is None:
        if port := _port_in(log):
            return port
        await asyncio.sleep(0.02)  # nobody tells that a file has grown
    raise RuntimeError(f"the service did not start; its last words: {_last_line(log)}")


def _port_in(log: Path) -> int | None:
    found = re.search(r'"serving".*?http://[^:"]+:(\d+)', log.read_text())
    return int(found[1]) if found else None


def _last_line(log: Path) -> str:
    return log.read_text().rstrip().rpartition("\n")[2]


@dataclass
class LonelyLink:
    """One link of `Alone`. `code`: text and milliseconds to it; `opened`: when (monotonic clock, s)."""

    code: asyncio.Future[tuple[str, float]]
    coded: asyncio.Future[float]
    opened: asyncio.Future[float]


class Alone:
    """A Node process with Baileys and nothing else (`alone.js`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._links: dict[str, LonelyLink] = {}
        self._numbers = count(1)
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> tuple[str, LonelyLink]:
        """Begin a link. Returns its name and what becomes of it."""
        loop = asyncio.get_running_loop()
        name = f"link{next(self._numbers)}"
        link = self._links[name] = LonelyLink(loop.create_future(), loop.create_future(), loop.create_future())
        self._say("start", name)
        return name, link

    def close(self, name: str) -> None:
        """Close its socket and forget it."""
        del self._links[name]
        self._say("close", name)

    async def end(self) -> None:
        self._reader.cancel()
        await asyncio.wait({self._reader})
        await _end(self._process)

    def _say(self, op: str, name: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"op": op, "link": name}).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            link = self._links.get(message["link"])
            if link is None:
                continue
            if message["event"] == "open" and not link.opened.done():
                link.opened.set_result(message["at"] / 1000)
            elif message["event"] == "qr" and not link.code.done():
                link.code.set_result((message["text"], message["took_ms"]))
                link.coded.set_result(message["at"] / 1000)


@asynccontextmanager
async def alone(simulator: Simulator, *, bridge_curve: bool) -> AsyncIterator[Alone]:
    """Start one; `bridge_curve` gives it the bridge's faster cryptography."""
    process = await asyncio.create_subprocess_exec(
        await asyncio.to_thread(find_node),
        str(Path(__file__).with_name("alone.js")),
        env={"PATH": os.environ["PATH"], **simulator.environment, "CURVE": "bridge" if bridge_curve else "own"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        hello = json.loads(await asyncio.wait_for(process.stdout.readline(), WAIT_S))
        if abs(time.monotonic() - hello["at"] / 1000) > 1:
            raise RuntimeError("Node's clock is not Python's monotonic clock on this system")  # noqa: TRY301
        running = Alone(process)
    except BaseException:
        await _end(process)
        raise
    try:
        yield running
    finally:
        await running.end()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 20)
    except TimeoutError:
        process.kill()
        await process.wait()


@dataclass
class Rig:
    """What the benchmarks share: a simulator, one service on a Redis of its own, and what it is compared with."""

    phones: Phones
    redis: RedisServer
    service: Service
    plain: Alone
    """Baileys as it is."""
    fast: Alone
    """Baileys with the bridge's faster cryptography."""
    quick: bool
    patience_s: float

    @property
    def simulator(self) -> Simulator:
        return self.phones.simulator

    def another_service(self, redis: RedisServer) -> AbstractAsyncContextManager[Service]:
        """One more, on another Redis."""
        return service(redis, self.simulator)

    async def link(self, session: str) -> None:
        """Link a session of the service; returns when it is connected."""
        async with self.service.client() as client:
            code = await client.call("POST", f"/sessions/{session}/qr")
        async with self.service.follow(session) as events:
            await self.phones.scan(code["text"])
            await events.until("connected")

    def patience(self) -> machine.Patience:
        """For one benchmark."""
        return machine.Patience(0 if self.quick else self.patience_s)

    def rounds(self, full: int) -> int:
        """How often to repeat: `full`, or just enough to see that it works."""
        return 1 if self.quick else full


@asynccontextmanager
async def rig(*, quick: bool, patience_s: float) -> AsyncIterator[Rig]:
    """Start it all; everything is ended at the end."""
    with redis_server() as redis:
        async with (
            Simulator() as simulator,
            service(redis, simulator) as running,
            alone(simulator, bridge_curve=False) as plain,
            alone(simulator, bridge_curve=True) as fast,
        ):
            yield Rig(Phones(simulator), redis, running, plain, fast, quick, patience_s)
