"""One link after the other: what Relink adds to start → QR and scan → connected."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from app.qr import draw
from benchmarks.http import Client
from benchmarks.machine import Patience, exact_cpu_s
from benchmarks.report import Section
from benchmarks.rig import WAIT_S, Alone, Phones, Rig, Service

WARM_UP = 8
"""Links before the first that counts: until then Node still compiles what it runs."""

REST_S = 0.15
"""After a link, for what its client still does."""

ADDED_MS = 15.0

_LINK_OPERATIONS = ("ZADD", "start", "advance", "auth_read", "auth_write", "read")

WITH_CURVE = "Baileys alone, with the bridge's Curve"
AS_IT_IS = "Baileys alone, as it is"

_names = count(1)


@dataclass(frozen=True, slots=True)
class Took:
    """One link: milliseconds from the start to the code, from the scan to the connection, and of CPU for each."""

    qr: float
    connected: float
    qr_cpu: float
    connected_cpu: float


class Contestant(Protocol):
    """Links, and afterwards removes what it linked."""

    async def link(self) -> Took: ...

    async def clear(self) -> None: ...


async def measure(rig: Rig, section: Section) -> None:
    async with rig.service.client() as client:
        contestants: list[Contestant] = [
            _Relink(rig, client),
            _Alone(rig.fast, rig.phones),
            _Alone(rig.plain, rig.phones),
        ]
        await _rounds(contestants, rig.rounds(WARM_UP), Patience(0))
        patience = rig.patience()
        before = await rig.service.redis_times()
        relink, fast, plain = await _rounds(contestants, rig.rounds(40), patience)
        after = await rig.service.redis_times()
    _compare(section, "start → QR", *([link.qr for link in links] for links in (relink, fast, plain)))
    _compare(section, "scan → connected", *([link.connected for link in links] for links in (relink, fast, plain)))
    section.patience(patience)
    section.head("CPU of a link (Relink: service, bridge and Redis), which other programs disturb little")
    for name, links in (("Relink", relink), (WITH_CURVE, fast), (AS_IT_IS, plain)):
        section.add(f"{name}: start → QR", [link.qr_cpu for link in links])
        section.add(f"{name}: scan → connected", [link.connected_cpu for link in links])
    await _where(rig.service, section, before, after)


def _compare(section: Section, what: str, relink: list[float], lonely: list[float], slow: list[float]) -> None:
    section.head(what)
    section.add("Relink", relink)
    section.add(WITH_CURVE, lonely)
    section.add(AS_IT_IS, slow)
    section.at_most(f"added to {what}, the same Curve", _added(relink, lonely), ADDED_MS, "ms")
    section.at_most(f"added to {what}, Baileys as it is", _added(relink, slow), ADDED_MS, "ms")


def _added(relink: list[float], alone: list[float]) -> float:
    """Median of the differences between links made one after the other, which met about the same machine."""
    return statistics.median(ours - theirs for ours, theirs in zip(relink, alone, strict=True))


async def _rounds(contestants: Sequence[Contestant], rounds: int, patience: Patience) -> list[list[Took]]:
    """Each contestant's links, made in turns."""
    times: list[list[Took]] = [[] for _ in contestants]
    for number in range(rounds):
        for turn in range(len(contestants)):
            which = (number + turn) % len(contestants)
            times[which].append(await patience.quietly(contestants[which].link, contestants[which].clear))
    return times


class _Relink:
    def __init__(self, rig: Rig, client: Client) -> None:
        self._service = rig.service
        self._client = client
        self._phones = rig.phones
        self._pids = (rig.service.pid, rig.service.bridge_pid, rig.redis.process.pid)

    async def link(self) -> Took:
        self._session = f"link-{next(_names)}"
        cpu = [self._cpu_s()]
        began = time.monotonic()
        code = await self._client.call("POST", "/generate-qr", {"session": self._session})
        coded = time.monotonic()
        cpu.append(self._cpu_s())
        async with self._service.follow(self._session) as events:
            cpu.append(self._cpu_s())
            scanned = await self._phones.scan(code["text"])
            connected = await events.until("connected")
        cpu.append(self._cpu_s())
        return _took(coded - began, connected - scanned, cpu)

    async def clear(self) -> None:
        await asyncio.sleep(REST_S)
        await self._client.call("POST", "/force-reset", {"session": self._session})
        await asyncio.sleep(REST_S)

    def _cpu_s(self) -> float:
        return sum(exact_cpu_s(pid) for pid in self._pids)


class _Alone:
    def __init__(self, process: Alone, phones: Phones) -> None:
        self._process = process
        self._phones = phones

    async def link(self) -> Took:
        async with asyncio.timeout(WAIT_S):
            cpu = [exact_cpu_s(self._process.pid)]
            self._name, link = self._process.start()
            text, took_ms = await link.code
            cpu += [exact_cpu_s(self._process.pid)] * 2
            scanned = await self._phones.scan(text)
            connected = await link.opened
            cpu.append(exact_cpu_s(self._process.pid))
        return _took(took_ms / 1000, connected - scanned, cpu)

    async def clear(self) -> None:
        await asyncio.sleep(REST_S)
        self._process.close(self._name)
        await asyncio.sleep(REST_S)


def _took(qr_s: float, connected_s: float, cpu_s: list[float]) -> Took:
    before, coded, scanning, connected = cpu_s
    return Took(qr_s * 1000, connected_s * 1000, (coded - before) * 1000, (connected - scanning) * 1000)


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
