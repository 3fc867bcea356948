"""Many linked sessions at rest: memory, CPU, and what they ask of Redis."""

import asyncio
import time

from benchmarks import machine
from benchmarks.report import Section
from benchmarks.rig import Phones, Rig, Service
from tests.support.redis_server import RedisServer, redis_server

STEPS = (0, 5, 50, 200)
AT_ONCE = 4
REST_S = 5.0
"""For what clients do after their first login."""


async def measure(rig: Rig, section: Section) -> None:
    with redis_server() as redis:
        async with rig.another_service(redis) as service:
            memory: dict[int, tuple[float, float]] = {}
            linked = 0
            for step in (0, 1, 2) if rig.quick else STEPS:
                await _link(service, rig.phones, linked, step)
                linked = step
                await asyncio.sleep(0.2 if rig.quick else REST_S)
                memory[step] = machine.rss_mb(service.pid), machine.rss_mb(service.bridge_pid)
                section.head(f"{step} linked sessions")
                section.fact("resident, Python", memory[step][0], "MB")
                section.fact("resident, bridge", memory[step][1], "MB")
                if step in (5, 200) or (rig.quick and step == 2):
                    await _at_rest(service, redis, section, _watched_s(step, quick=rig.quick))
            least, most = sorted(memory)[1], max(memory)
            section.head(f"each further session, from {least} to {most}")
            for name, part in (("Python", 0), ("bridge", 1)):
                section.fact(name, (memory[most][part] - memory[least][part]) / (most - least), "MB")


def _watched_s(sessions: int, *, quick: bool) -> float:
    """Long enough for a few keep-alives (one each 20 s) where there are many sessions."""
    if quick:
        return 1.0
    return 60.0 if sessions > 5 else 20.0


async def _link(service: Service, phones: Phones, first: int, last: int) -> None:
    """Link the sessions of these numbers, a few at a time."""
    lanes = asyncio.Semaphore(AT_ONCE)

    async def link(number: int) -> None:
        async with lanes, service.client() as client:
            session = f"dense-{number}"
            code = await client.call("POST", f"/sessions/{session}/qr")
            async with service.follow(session) as events:
                await phones.scan(code["text"])
                await events.until("connected")

    async with asyncio.TaskGroup() as tasks:
        for number in range(first, last):
            tasks.create_task(link(number))


async def _at_rest(service: Service, redis: RedisServer, section: Section, seconds: float) -> None:
    """Use of CPU, in seconds a minute, and of Redis, while nobody asks anything."""
    pids = {"Python": service.pid, "bridge": service.bridge_pid, "Redis": redis.process.pid}
    with redis.client() as client:
        began = time.monotonic()
        commands = int(client.info("stats")["total_commands_processed"])
        before = {name: machine.cpu_s(pid) for name, pid in pids.items()}
        await asyncio.sleep(seconds)
        used = {name: machine.cpu_s(pid) - before[name] for name, pid in pids.items()}
        asked = int(client.info("stats")["total_commands_processed"]) - commands - 1
        took = time.monotonic() - began
    for name, cpu in used.items():
        section.fact(f"CPU at rest, {name}, over {seconds:g} s", cpu / took * 60, "s a minute")
    section.fact("commands to Redis at rest, those in scripts too", asked / took, "a second")
