"""One link after the other: what Relink adds to start → QR and scan → connected."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from itertools import count

from app.qr import draw
from benchmarks.http import Client
from benchmarks.machine import Patience
from benchmarks.report import Section
from benchmarks.rig import WAIT_S, Alone, Phones, Rig, Service

WARM_UP = 8
"""Links before the first that counts: until then Node still compiles what it runs."""

REST_S = 0.15
"""After a link, for what its client still does."""

ADDED_MS = 15.0

_LINK_OPERATIONS = ("SADD", "ZADD", "start", "advance", "auth_read", "auth_write", "read")

PATIENCE_S = 75.0

_names = count(1)

Link = Callable[[], Awaitable[tuple[float, float]]]
"""Makes a link. Milliseconds from the start to the code, and from the scan to the connection."""


async def measure(rig: Rig, section: Section) -> None:
    async with rig.service.client() as client:
        contestants: list[Link] = [
            lambda: _relink(rig.service, client, rig.phones),
            lambda: _alone(rig.fast, rig.phones),
            lambda: _alone(rig.plain, rig.phones),
        ]
        await _rounds(contestants, rig.rounds(WARM_UP), Patience(0))
        patience = Patience(0 if rig.quick else PATIENCE_S)
        before = await rig.service.redis_times()
        times = await _rounds(contestants, rig.rounds(40), patience)
        after = await rig.service.redis_times()
    relink, lonely, slow = ([link[0] for link in of] for of in times)
    _compare(section, "start → QR", relink, lonely, slow)
    relink, lonely, slow = ([link[1] for link in of] for of in times)
    _compare(section, "scan → connected", relink, lonely, slow)
    section.patience(patience)
    await _where(rig.service, section, before, after)


def _compare(section: Section, what: str, relink: list[float], lonely: list[float], slow: list[float]) -> None:
    section.head(what)
    section.add("Relink", relink)
    section.add("Baileys alone, with the bridge's Curve", lonely)
    section.add("Baileys alone, as it is", slow)
    section.at_most(f"added to {what}, the same Curve", _added(relink, lonely), ADDED_MS, "ms")
    section.at_most(f"added to {what}, Baileys as it is", _added(relink, slow), ADDED_MS, "ms")


def _added(relink: list[float], alone: list[float]) -> float:
    """Median of the differences between links made one after the other, which met about the same machine."""
    return statistics.median(ours - theirs for ours, theirs in zip(relink, alone, strict=True))


async def _rounds(contestants: list[Link], rounds: int, patience: Patience) -> list[list[tuple[float, float]]]:
    """Each contestant's links, made in turns."""
    times: list[list[tuple[float, float]]] = [[] for _ in contestants]
    for number in range(rounds):
        for turn in range(len(contestants)):
            which = (number + turn) % len(contestants)
            times[which].append(await patience.quietly(contestants[which]))
    return times


async def _relink(service: Service, client: Client, phones: Phones) -> tuple[float, float]:
    session = f"link-{next(_names)}"
    began = time.monotonic()
    code = await client.call("POST", "/generate-qr", {"session": session})
    coded = time.monotonic()
    async with service.follow(session) as events:
        scanned = await phones.scan(code["text"])
        connected = await events.until("connected")
    await asyncio.sleep(REST_S)
    await client.call("POST", "/force-reset", {"session": session})
    await asyncio.sleep(REST_S)
    return (coded - began) * 1000, (connected - scanned) * 1000


async def _alone(process: Alone, phones: Phones) -> tuple[float, float]:
    async with asyncio.timeout(WAIT_S):
        name, link = process.start()
        text, took_ms = await link.code
        scanned = await phones.scan(text)
        connected = await link.opened
        await asyncio.sleep(REST_S)
        process.close(name)
        await asyncio.sleep(REST_S)
    return took_ms, (connected - scanned) * 1000


async def _where(
    service: Service, section: Section, before: dict[str, tuple[int, float]], after: dict[str, tuple[int, float]]
) -> None:
    """What there is of Relink in a link, each part measured by itself."""
    section.head("where Relink's part goes (Redis: all round trips of these links, also those that nothing waited for)")
    links = after["start"][0] - before["start"][0]
    for operation in _LINK_OPERATIONS:
        calls, seconds = after.get(operation, (0, 0.0))
        earlier_calls, earlier_seconds = before.get(operation, (0, 0.0))
        if calls > earlier_calls:
            each = (seconds - earlier_seconds) / (calls - earlier_calls) * 1000
            section.fact(f"Redis {operation}, {(calls - earlier_calls) / links:.1f} a link", each, "ms each")
    async with service.client() as client:
        section.add("HTTP: a request that does nothing", [await client.timed("GET", "/health/live") for _ in range(50)])
        section.add("HTTP and Redis: a status", [await client.timed("GET", "/status") for _ in range(50)])
    pictures = []
    for number in range(20):
        began = time.perf_counter()
        draw(f"https://wa.me/settings/linked_devices#2@{number:0230d},1").data_url()
        pictures.append((time.perf_counter() - began) * 1000)
    section.add("QR picture", pictures)
