"""deploy/haproxy/haproxy.cfg, run by the real HAProxy before three real replicas."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tests.support.fleet import Fleet, Replica, fleet
from tests.support.redis_server import RedisServer, redis_server
from tests.support.simulator import Simulator
from tests.support.socketio_client import SocketIoDriver, socketio_driver

pytestmark = pytest.mark.bridge

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
CONFIG = FILE.read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
NAMES = ["relink", "relink-2", "relink-3"]
SERVER = re.compile(r"^    server \S+ (\S+):(\d+)", re.MULTILINE)
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")

needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="no haproxy here")


@dataclass
class Balancer:
    """A running HAProxy. `url`: its frontend; `replicas`: those behind it, in the order of the configuration."""

    url: str
    fleet: Fleet
    replicas: list[Replica]
    redis: RedisServer
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.AsyncClient(base_url=self.url, timeout=90, trust_env=False)

    async def who_answers(self) -> str:
        """The replica that a plain request reaches at this moment."""
        replicas = (await self.http.get("/replicas")).raise_for_status().json()["replicas"]
        return next(str(replica["id"]) for replica in replicas if replica["this"])

    async def until_served_by(self, *names: str) -> None:
        """Return when all of these answer plain requests, and nobody else."""
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if {await self.who_answers() for _ in range(12)} == set(names):
                        return
                await asyncio.sleep(0.2)  # HAProxy tells nobody what its checks found


@pytest.fixture
async def balancer(tmp_path: Path) -> AsyncIterator[Balancer]:
    """Three replicas with a Redis and a simulator of their own; the configuration as it is, but for addresses."""
    assert HAPROXY is not None
    with redis_server() as redis:
        async with Simulator() as simulator, fleet(redis.url, simulator) as replicas:
            started = await replicas.start(3)
            with free_port() as port:
                config = tmp_path / "haproxy.cfg"
                config.write_text(with_addresses(started, port))
            process = await asyncio.create_subprocess_exec(HAPROXY, "-q", "-db", "-f", str(config))
            made = Balancer(f"http://127.0.0.1:{port}", replicas, started, redis)
            try:
                await made.until_served_by(*(replica.name for replica in started))
                yield made
            finally:
                await made.http.aclose()
                process.terminate()
                await asyncio.wait_for(process.wait(), 10)


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def with_addresses(replicas: list[Replica], port: int) -> str:
    """The configuration for these replicas instead of Compose's names, on `port` of loopback."""
    text = CONFIG.replace("bind :3201", f"bind 127.0.0.1:{port}")
    for name, replica in zip(NAMES, replicas, strict=True):
        text, count = re.subn(rf" {name}:3001", f" 127.0.0.1:{urlsplit(str(replica.http.base_url)).port}", text)
        assert count == 3
    return text


@pytest.fixture
async def driver() -> AsyncIterator[SocketIoDriver]:
    async with socketio_driver() as running:
        yield running


def test_it_names_the_replicas_of_compose_in_every_backend() -> None:
    backends = CONFIG.split("\nbackend ")[1:]
    assert [text.split()[0] for text in backends] == ["ready", "streams", "polling"]
    for text in backends:
        assert [name for name, _ in SERVER.findall(text)] == NAMES
    for name, port in SERVER.findall(CONFIG):
        assert COMPOSE["services"][name]["environment"]["PORT"] == port


def test_compose_publishes_where_it_listens_and_mounts_it() -> None:
    balancer = COMPOSE["services"]["balancer"]
    (port,) = balancer["ports"]
    assert f"bind :{port.rpartition(':')[2]}\n" in CONFIG
    (mount,) = balancer["volumes"]
    assert mount == "./deploy/haproxy/haproxy.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro"
    assert balancer["depends_on"] == NAMES


def test_it_gives_up_later_than_any_request_may_take() -> None:
    for name in ("client", "server", "tunnel"):
        found = re.search(rf"^    timeout {name} (\d+)s$", CONFIG, re.MULTILINE)
        assert found is not None
        assert int(found[1]) > 60


@needs_haproxy
async def test_socketio_and_events_through_it(balancer: Balancer, driver: SocketIoDriver) -> None:
    ways = [["polling"], ["websocket"], ["polling", "websocket"]]
    clients = [await driver.connect(balancer.url, transports=way) for way in ways]
    async with balancer.http.stream("GET", "/sessions/default/events") as events, asyncio.timeout(60):
        lines = events.aiter_lines()
        await until_line(lines, "event: session-status")
        for client in clients:
            answer = await client.call("generate-qr", {"session": "default"}, timeout=30)
            assert answer["ok"], answer
            await until_line(lines, "event: qr")  # as it happens: nothing holds it back
            reset = await client.call("force-reset", {"session": "default"})
            assert reset["ok"], reset
            for listening in clients:
                heard = await listening.until("session-status", status="qr")
                heard += await listening.until("session-status", status="idle")
                assert "disconnect" not in [name for name, _ in heard]


@needs_haproxy
async def test_clients_of_a_killed_replica_come_back_by_themselves(balancer: Balancer, driver: SocketIoDriver) -> None:
    again = {"reconnection": True, "reconnectionDelay": 200, "reconnectionDelayMax": 500}
    clients = [await driver.connect(balancer.url, transports=[way], **again) for way in ("polling", "websocket")]
    homes = [replica for replica in balancer.replicas if await clients_of(replica)]
    assert 1 <= len(homes) <= 2
    for replica in homes:
        await replica.kill()
    for _ in range(9):
        answer = await balancer.http.get("/replicas")
        assert answer.status_code == 200, "a refused connection goes to another replica"
    for client in clients:
        await client.until("connect", timeout=30)
        reset = await client.call("force-reset", {"session": "default"}, timeout=20)
        assert reset["ok"], reset


@needs_haproxy
async def test_a_frozen_replica_gets_requests_again_only_when_it_answers(balancer: Balancer) -> None:
    frozen, *others = balancer.replicas
    frozen.freeze()
    await balancer.until_served_by(*(replica.name for replica in others))
    frozen.thaw()
    await balancer.until_served_by(*(replica.name for replica in balancer.replicas))


async def until_line(lines: AsyncIterator[str], wanted: str) -> None:
    async for line in lines:
        if line == wanted:
            return
    raise AssertionError(f"the stream ended without {wanted!r}")


async def clients_of(replica: Replica) -> int:
    found = re.search(r"^relink_socketio_clients (\d+)", (await replica.http.get("/metrics")).text, re.MULTILINE)
    assert found is not None
    return int(found[1])


@needs_haproxy
async def test_with_redis_away_callers_hear_relinks_own_reason(balancer: Balancer) -> None:
    balancer.redis.process.terminate()
    balancer.redis.process.wait(10)
    async with asyncio.timeout(30):
        while True:
            ready = await balancer.http.get("/health/ready")
            if ready.status_code == 503 and "application/problem+json" in ready.headers["content-type"]:
                break
            await asyncio.sleep(0.2)
    answer = await balancer.http.get("/status")
    assert answer.status_code == 503
    assert answer.json()["code"] == "redis_unavailable"
    assert int(answer.headers["retry-after"]) > 0
    assert (await balancer.http.get("/health/live")).status_code == 200
