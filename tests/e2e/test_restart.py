"""The service is killed, or stopped and started again: linked sessions come back by themselves, and nobody scans."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.lifespan import running
from app.model import AuthLayout, Record, Status
from tests.support.redis_server import RedisServer
from tests.support.service_process import ServiceProcess
from tests.support.simulator import Linked, Simulator
from tests.support.world import Behind, World, eventually, eventually_async, fast_settings, stretched

BACK_S = 20.0


def environment(server: RedisServer, simulator: Simulator, **changes: str) -> dict[str, str]:
    own = {"REDIS_URL": server.url, "KEY_PREFIX": "restart", "BACKOFF_BASE": "0.2", "BACKOFF_CAP": "0.4"}
    return own | simulator.environment | changes


@asynccontextmanager
async def successor(server: RedisServer, simulator: Simulator, **changes: object) -> AsyncIterator[World]:
    """The next life of the service, in this process. What it finds is removed in the end."""
    settings = fast_settings(server, key_prefix="restart", **changes, **simulator.settings)
    async with running(settings) as relink:
        world = World(relink, simulator, server)
        try:
            yield world
        finally:
            await world.sweep()


async def link(service: ServiceProcess, simulator: Simulator, session: str) -> Linked:
    code = await service.post(f"/sessions/{session}/qr")
    linked = await simulator.scan(code["text"])
    await simulator.wait_for("digest", jid=linked.jid)
    await until_status(service, session, Status.CONNECTED)
    return linked


async def until_status(service: ServiceProcess, session: str, status: Status) -> None:
    async def reached() -> bool:
        return await service.status(session) == status

    await eventually_async(reached, seconds=BACK_S)


async def back(world: World, session: str, after: int) -> Record:
    """The record, once the session is online in its new life: what it says before is of the old one."""
    return await world.until(session, Status.CONNECTED, seconds=BACK_S, after=after)


@pytest.mark.parametrize("layout", list(AuthLayout))
async def test_killed_while_linked(server: RedisServer, simulator: Simulator, session: str, layout: AuthLayout) -> None:
    async with ServiceProcess(environment(server, simulator, AUTH_LAYOUT=layout.value)) as service:
        linked = await link(service, simulator, session)
        await service.kill()
    began = time.monotonic()
    seq = Behind(server, "restart").seq(session)
    async with successor(server, simulator, auth_layout=layout) as world:
        record = await back(world, session, seq)
        took = time.monotonic() - began
        assert (record.jid, record.owner) == (linked.jid, world.relink.replicas.name)
        assert took < stretched(world.relink.settings.replica_ttl + 3)
        counters = await simulator.counters()
        assert (counters.totals["registrations"], counters.totals["login_refusals"]) == (1, 0)
        events = await world.events(session)
        assert [entry.seq for entry in events] == list(range(1, len(events) + 1))
        assert "claim" in [entry.event for entry in events]


async def test_killed_while_linked_and_known_by_a_fixed_name(
    server: RedisServer, simulator: Simulator, session: str
) -> None:
    """With REPLICA_ID set, the next life finds sessions whose owner it seems to be itself."""
    async with ServiceProcess(environment(server, simulator, REPLICA_ID="one")) as service:
        linked = await link(service, simulator, session)
        await service.kill()
    seq = Behind(server, "restart").seq(session)
    async with successor(server, simulator, replica_id="one") as world:
        assert (await back(world, session, seq)).jid == linked.jid
        assert (await simulator.counters()).devices[linked.jid]["sockets_open"] == 1


async def test_stopped_in_an_orderly_way(server: RedisServer, simulator: Simulator, session: str) -> None:
    async with ServiceProcess(environment(server, simulator)) as service:
        linked = await link(service, simulator, session)
        assert await service.stop() == 0
        assert (await simulator.counters()).devices[linked.jid]["sockets_open"] == 0
    seq = Behind(server, "restart").seq(session)
    async with successor(server, simulator) as world:
        assert (await back(world, session, seq)).jid == linked.jid
        counters = await simulator.counters()
        assert counters.totals["registrations"] == 1
        assert counters.devices[linked.jid]["replaced"] == 0
        assert counters.devices[linked.jid]["max_sockets"] == 1


async def test_a_stopped_session_stays_stopped(server: RedisServer, simulator: Simulator, session: str) -> None:
    async with ServiceProcess(environment(server, simulator)) as service:
        linked = await link(service, simulator, session)
        await service.post(f"/sessions/{session}/stop")
        await service.kill()
    seq = Behind(server, "restart").seq(session)
    async with successor(server, simulator) as world:
        assert await simulator.events(after=await simulator.last(), type="connect", wait_ms=3_000) == []
        assert (await world.service.get(session)).status is Status.STOPPED
        await world.service.start(session)
        assert (await back(world, session, seq)).jid == linked.jid


async def test_killed_while_a_code_is_on_offer(server: RedisServer, simulator: Simulator, session: str) -> None:
    """The code died with the socket that offered it; a new one comes, and can be scanned."""
    async with ServiceProcess(environment(server, simulator)) as service:
        old = await service.post(f"/sessions/{session}/qr")
        await service.kill()
    seq = Behind(server, "restart").seq(session)
    async with successor(server, simulator) as world:
        await world.until(session, Status.STARTING, Status.QR, after=seq)
        code = await world.service.generate_qr(session)
        assert code.text != old["text"]
        await simulator.scan(code.text)
        await back(world, session, seq)


async def test_killed_while_linking(server: RedisServer, simulator: Simulator, session: str) -> None:
    """The credentials were written before the scan was told of, so the link is completed by the next life."""
    async with ServiceProcess(environment(server, simulator)) as service:
        code = await service.post(f"/sessions/{session}/qr")
        await simulator.behave(handshake="silent")
        linked = await simulator.scan(code["text"])
        await until_status(service, session, Status.LINKING)
        await service.kill()
    await simulator.behave(handshake=None)
    seq = Behind(server, "restart").seq(session)
    async with successor(server, simulator) as world:
        assert (await back(world, session, seq)).jid == linked.jid
        assert (await simulator.counters()).totals["registrations"] == 1


async def test_killed_while_logging_out(server: RedisServer, simulator: Simulator, session: str) -> None:
    """What was asked stays asked: the next life says goodbye."""
    async with ServiceProcess(environment(server, simulator, LOGOUT_TIMEOUT="60")) as service:
        linked = await link(service, simulator, session)
        online = Behind(server, "restart").seq(session)
        await simulator.disturb("silence")
        logout = asyncio.create_task(service.http.post(f"/sessions/{session}/logout"))
        await eventually(lambda: Behind(server, "restart").seq(session) > online)
        await service.kill()
        with pytest.raises(httpx.HTTPError):
            await logout
    seq = Behind(server, "restart").seq(session)
    async with successor(server, simulator) as world:
        await world.until(session, Status.LOGGED_OUT, seconds=BACK_S, after=seq)
        assert (await simulator.counters()).devices[linked.jid]["unlinks"] == 1
        assert world.behind.auth(session) == {}


async def test_logged_out_while_the_service_was_dead(server: RedisServer, simulator: Simulator, session: str) -> None:
    async with ServiceProcess(environment(server, simulator)) as service:
        linked = await link(service, simulator, session)
        await service.kill()
    await simulator.logout(device=linked.jid)
    seq = Behind(server, "restart").seq(session)
    async with successor(server, simulator) as world:
        record = await world.until(session, Status.LOGGED_OUT, seconds=BACK_S, after=seq)
        assert record.reason == "login_refused"
        assert world.behind.auth(session) == {}
