"""This machine and what runs on it, from /proc: benchmarks run on Linux."""

import asyncio
import os
import platform
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_LOOK_S = 0.5
_QUIET = 0.3
"""Cores that others may keep busy in what counts as a quiet moment."""

_GLANCE_S = 0.25

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Load:
    """What else ran at the beginning of a benchmark: the load average, and how many cores were busy just then."""

    average: float
    busy_cores: float

    def __str__(self) -> str:
        return f"load average {self.average:.2f}, {self.busy_cores:.2f} of {os.cpu_count()} cores busy with other work"


async def quiet(patience_s: float) -> Load:
    """Wait up to so long for a moment in which others leave the machine alone; the load then."""
    deadline = time.monotonic() + patience_s
    while True:
        before = _busy_s()
        await asyncio.sleep(_LOOK_S)
        busy = (_busy_s() - before) / _LOOK_S
        if busy <= _QUIET or time.monotonic() >= deadline:
            return Load(os.getloadavg()[0], busy)


class Patience:
    """Waits for quiet moments to measure in, and measures again what other programs disturbed, for so many seconds in
    all; afterwards takes what comes. What was measured plays no part in that, only what others used of the machine."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self.repeated = 0
        self.accepted = 0

    async def quietly(
        self, measure: Callable[[], Awaitable[_T]], clear: Callable[[], Awaitable[None]] | None = None
    ) -> _T:
        """What `measure` returns, of the first time that nobody disturbed it. `clear` is called after each time: what
        happens during it disturbs nothing."""
        while True:
            measured, quiet = await self._watched(measure)
            if clear is not None:
                await clear()
            if quiet:
                return measured
            if self._over:
                self.accepted += 1
                return measured
            self.repeated += 1
            while not (self._over or (await self._watched(partial(asyncio.sleep, _GLANCE_S)))[1]):
                pass

    @property
    def _over(self) -> bool:
        return time.monotonic() >= self._deadline

    async def _watched(self, work: Callable[[], Awaitable[_T]]) -> tuple[_T, bool]:
        """What `work` returns, and whether others left the machine alone meanwhile."""
        began, others = time.monotonic(), _busy_s() - _own_s()
        result = await work()
        return result, _busy_s() - _own_s() - others <= _QUIET * (time.monotonic() - began)


def facts(node: str, redis: str) -> dict[str, str]:
    """What the figures depend on; `node` and `redis` are the executables."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "node": _says(node, "--version"),
        "redis": _says(redis, "--version").partition(" sha=")[0].removeprefix("Redis server "),
    }


def pin(pid: int, core: int | None) -> None:
    """Keep every thread of a process on one core; None: let it use all again."""
    everywhere = os.sched_getaffinity(0)
    cores = everywhere if core is None else {sorted(everywhere)[core % len(everywhere)]}
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), cores)


def children(pid: int) -> list[int]:
    """Processes that `pid` started."""
    listings = (Path(f"/proc/{pid}/task") / thread / "children" for thread in os.listdir(f"/proc/{pid}/task"))
    return [int(child) for listing in listings for child in listing.read_text().split()]


def exact_cpu_s(pid: int) -> float:
    """Seconds of CPU that the running threads of a process have used, to the microsecond."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def _own_s() -> float:
    """Seconds of CPU that this process and all that it started have used."""
    own = [os.getpid()]
    for pid in own:
        own += children(pid)
    return sum(exact_cpu_s(pid) for pid in own)


def _busy_s() -> float:
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, _stat_line().split()[1:])
    return (user + nice + system + irq + softirq) * _TICK_S


def _stat_line() -> str:
    with Path("/proc/stat").open() as stat:
        return stat.readline()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _says(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
