"""Round trips to Redis that each verb costs, counted in a service in this process, by the task that makes them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable

from app.lifespan import running
from app.logging import configure_logging
from app.metrics import Metrics
from app.model import Status
from app.sessions.service import SessionService
from benchmarks.report import Section
from benchmarks.rig import Rig
from tests.support.world import fast_settings, until

MOST_PER_LINK = 25

_OWNERS_TASKS = ("session ", "socket ")
_CALLER = "caller"


class Trips(Metrics):
    """Counts by operation what a caller's task and the tasks of sessions make; not what heartbeats and sweeps do."""

    def __init__(self, rest_s: float) -> None:
        self.made: Counter[str] = Counter()
        self._rest_s = rest_s

    def redis(self, operation: str, seconds: float) -> None:
        task = asyncio.current_task()
        if task is not None and task.get_name().startswith((_CALLER, *_OWNERS_TASKS)):
            self.made[operation] += 1

    async def of(self, verb: Awaitable[object]) -> Counter[str]:
        """The trips of `verb`, and of what goes on until nothing more comes."""

        async def call() -> object:
            return await verb

        self.made = Counter()
        await asyncio.create_task(call(), name=_CALLER)
        while True:
            before = self.made.total()
            await asyncio.sleep(self._rest_s)  # nobody tells when a client is done with its first login
            if self.made.total() == before:
                return self.made


async def measure(rig: Rig, section: Section) -> None:
    trips = Trips(0.1 if rig.quick else 0.5)
    settings = fast_settings(rig.redis, key_prefix="trips", **rig.simulator.settings)
    configure_logging(settings)
    async with running(settings, metrics=trips) as relink:
        service = relink.service
        section.head("round trips to Redis, with what happens behind the call")
        for name, verb in (
            ("start", service.start("trips")),
            ("link: start, code, scan, login, 812 pre-keys", _link(rig, service)),
            ("status", service.get("link")),
            ("stop", service.stop("link")),
            ("start of a linked session", _resume(service)),
            ("force-reset", service.force_reset("link")),
            ("force-reset of one that waits for a scan", service.force_reset("trips")),
        ):
            made = await trips.of(verb)
            told = ", ".join(f"{operation} {times}" for operation, times in sorted(made.items()))
            section.fact(name, made.total(), f"({told})")
            if name.startswith("link"):
                section.at_most("a link", made.total(), MOST_PER_LINK, "round trips")
        await trips.of(_link(rig, service))
        made = await trips.of(service.logout("link"))
        section.fact(
            "logout", made.total(), f"({', '.join(f'{name} {times}' for name, times in sorted(made.items()))})"
        )


async def _link(rig: Rig, service: SessionService) -> None:
    """Watched from a task whose own reading does not count."""
    code = await service.generate_qr("link")
    await rig.phones.scan(code.text)
    await asyncio.create_task(_until_connected(service), name="looks on")


async def _resume(service: SessionService) -> None:
    await service.start("link")
    await asyncio.create_task(_until_connected(service), name="looks on")


async def _until_connected(service: SessionService) -> None:
    await until(service, "link", Status.CONNECTED)
