"""One link after the other: what Relink adds to start → QR and scan → connected."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from app.qr import draw
from benchmarks.http import Client
from benchmarks.report import Section
from benchmarks.rig import PATIENCE_S, Alone, Phones, Rig, Service

WARM_UP = 8
"""Links before the first that counts: until then Node still compiles what it runs."""

REST_S = 0.15
"""After a link, for what its client still does."""

ADDED_MS = 15.0

_LINK_OPERATIONS = ("SADD", "ZADD", "start", "advance", "auth_read", "auth_write", "read", "EVALSHA", "pipeline")

_names = count(1)


@dataclass(slots=True)
class Times:
    """Milliseconds of every link of one contestant."""

    qr: list[float] = field(default_factory=list)
    connected: list[float] = field(default_factory=list)


async def measure(rig: Rig, section: Section) -> None:
    async with rig.service.client() as client:
        relink, lonely, slow = Times(), Times(), Times()
        contestants: list[Callable[[], Awaitable[None]]] = [
            lambda: _relink(rig.service, client, rig.phones, relink),
            lambda: _alone(rig.fast, rig.phones, lonely),
            lambda: _alone(rig.plain, rig.phones, slow),
        ]
        await _rounds(contestants, rig.rounds(WARM_UP))
        for times in (relink, lonely, slow):
            times.qr.clear()
            times.connected.clear()
        before = await rig.service.redis_times()
        await _rounds(contestants, rig.rounds(40))
        after = await rig.service.redis_times()

    _compare(section, "start → QR", relink.qr, lonely.qr, slow.qr)
    _compare(section, "scan → connected", relink.connected, lonely.connected, slow.connected)
    await _where(rig.service, section, before, after, len(relink.qr))


def _compare(section: Section, what: str, relink: list[float], lonely: list[float], slow: list[float]) -> None:
    section.head(what)
    ours = section.add("Relink", relink)
    theirs = section.add("Baileys alone, with the bridge's Curve", lonely)
    as_it_is = section.add("Baileys alone, as it is", slow)
    section.at_most(f"added to {what}, the same Curve", ours - theirs, ADDED_MS, "ms")
    section.at_most(f"added to {what}, Baileys as it is", ours - as_it_is, ADDED_MS, "ms")


async def _rounds(contestants: list[Callable[[], Awaitable[None]]], rounds: int) -> None:
    for number in range(rounds):
        turn = number % len(contestants)
        for link in contestants[turn:] + contestants[:turn]:
            await link()
            await asyncio.sleep(REST_S)


async def _relink(service: Service, client: Client, phones: Phones, times: Times) -> None:
    session = f"link-{next(_names)}"
    began = time.monotonic()
    code = await client.call("POST", "/generate-qr", {"session": session})
    times.qr.append((time.monotonic() - began) * 1000)
    async with service.follow(session) as events:
        scanned = await phones.scan(code["text"])
        times.connected.append((await events.until("connected") - scanned) * 1000)
    await asyncio.sleep(REST_S)
    await client.call("POST", "/force-reset", {"session": session})


async def _alone(process: Alone, phones: Phones, times: Times) -> None:
    async with asyncio.timeout(PATIENCE_S):
        name, link = process.start()
        text, took_ms = await link.code
        times.qr.append(took_ms)
        scanned = await phones.scan(text)
        times.connected.append((await link.opened - scanned) * 1000)
        await asyncio.sleep(REST_S)
        process.close(name)


async def _where(
    service: Service,
    section: Section,
    before: dict[str, tuple[int, float]],
    after: dict[str, tuple[int, float]],
    links: int,
) -> None:
    """What there is of Relink in a link, each part measured by itself."""
    section.head("where Relink's part goes (Redis: all a link makes, also beside the wait; with queueing)")
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
