"""A session's whole life, with the real Baileys, on everything that REDIS_URL can name."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from app.lifespan import running
from app.model import AuthLayout, Status
from app.settings import Settings
from tests.conftest import AnyRedis
from tests.support.keys import all_keys
from tests.support.redis_cluster import redis_cluster
from tests.support.redis_sentinel import redis_sentinel
from tests.support.redis_server import binary, redis_server
from tests.support.simulator import Simulator
from tests.support.world import until

BACKENDS: dict[str, Callable[[], AbstractContextManager[AnyRedis]]] = {
    "7": lambda: redis_server("7"),
    "6.2": lambda: redis_server("6.2"),
    "cluster": redis_cluster,
    "sentinel": redis_sentinel,
}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[AnyRedis]:
    if request.param in ("7", "6.2") and binary(request.param) is None:
        pytest.skip(f"no redis-server {request.param} here")
    with BACKENDS[request.param]() as started:
        yield started


async def test_a_whole_life(backend: AnyRedis, simulator: Simulator, tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None,
        redis_url=backend.url,
        auth_layout=AuthLayout.KEYS,
        data_dir=tmp_path,
        backoff_base=0.2,
        **simulator.settings,  # type: ignore[arg-type]
    )
    async with running(settings) as relink:
        service = relink.service
        for session in ("one", "two", "three"):  # of a Cluster, each on another master
            code = await service.generate_qr(session)
            linked = await simulator.scan(code.text)
            await until(service, session, Status.CONNECTED)
            await simulator.wait_for("digest", jid=linked.jid)
            online = await simulator.last()
            await simulator.command("cut", device=linked.jid)
            await simulator.wait_for("login", jid=linked.jid, after=online)
        assert len(await all_keys(relink.redis, "relink:{*}:keys:*")) > 3 * 800
        assert [record.id for record in (await service.page()).records] == ["default", "one", "three", "two"]

        await until(service, "one", Status.CONNECTED)
        assert (await service.logout("one")).unlinked
        (device,) = await simulator.logout(device=linked.jid)
        assert device == linked.jid
        assert (await until(service, "three", Status.LOGGED_OUT)).reason
        await service.force_reset("two")
        assert await all_keys(relink.redis, "relink:{*}:keys:*") == set()
        assert (await service.generate_qr("two")).text
        for session in ("one", "two", "three", "default"):
            await service.delete(session)
        assert await all_keys(relink.redis, "relink:{*") == set()
