"""Fifty links at once: how long until each has its code, and until all are connected."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count

from benchmarks.report import Section
from benchmarks.rig import WAIT_S, Alone, Phones, Rig, Service

AT_ONCE = 50
REST_S = 2.0
"""After a herd: its sockets are still being closed."""

_herds = count(1)


async def measure(rig: Rig, section: Section) -> None:
    links = 2 if rig.quick else AT_ONCE
    herds: dict[str, Callable[[], Awaitable[tuple[list[float], float]]]] = {
        "Relink": lambda: _relink(rig.service, rig.phones, links),
        "Baileys alone, with the bridge's Curve": lambda: _alone(rig.fast, rig.phones, links),
        "Baileys alone, as it is": lambda: _alone(rig.plain, rig.phones, links),
    }
    codes: dict[str, list[float]] = {name: [] for name in herds}
    finished: dict[str, list[float]] = {name: [] for name in herds}
    if not rig.quick:
        for herd in herds.values():
            await herd()  # the warm-up
    patience = rig.patience()
    for _ in range(rig.rounds(3)):
        for name, herd in herds.items():
            waits, all_connected = await patience.quietly(herd)
            codes[name] += waits
            finished[name].append(all_connected)
            await asyncio.sleep(0.1 if rig.quick else REST_S)
    section.head(f"{links} started at once, each scanned as soon as it has its code")
    for name in herds:
        section.add(f"{name}: start → QR", codes[name])
    for name in herds:
        section.add(f"{name}: all connected", finished[name])
    section.patience(patience)


async def _relink(service: Service, phones: Phones, links: int) -> tuple[list[float], float]:
    """Milliseconds from the common start to each code, and to the last connection."""
    herd = next(_herds)
    began = time.monotonic()

    async def link(number: int) -> tuple[float, float]:
        session = f"many-{herd}-{number}"
        async with service.client() as client:
            code = await client.call("POST", f"/sessions/{session}/qr")
            coded = time.monotonic()
            async with service.follow(session) as events:
                await phones.scan(code["text"])
                connected = await events.until("connected")
            return (coded - began) * 1000, (connected - began) * 1000

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(link(number)) for number in range(links)]
    async with service.client() as client:
        for number in range(links):
            await client.call("DELETE", f"/sessions/many-{herd}-{number}")
    return [task.result()[0] for task in running], max(task.result()[1] for task in running)


async def _alone(process: Alone, phones: Phones, links: int) -> tuple[list[float], float]:
    began = time.monotonic()
    started = [process.start() for _ in range(links)]

    async def link(number: int) -> tuple[float, float]:
        code = started[number][1]
        text, _ = await code.code
        await phones.scan(text)
        return (await code.coded - began) * 1000, (await code.opened - began) * 1000

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(link(number)) for number in range(links)]
    for name, _ in started:
        process.close(name)
    return [task.result()[0] for task in running], max(task.result()[1] for task in running)
