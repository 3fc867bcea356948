"""Reading a status: what it costs Redis, and how many a second one core answers over HTTP."""

import asyncio
import json
import sys
from functools import partial

from benchmarks import machine
from benchmarks.report import Section
from benchmarks.rig import Rig

SESSION = "reads"
CONNECTIONS = 16
BURST_S = 2.0
SERVICE_CORE, OTHERS_CORE = 0, 1

READ_MS = 1.0
PER_SECOND = 1_500.0


async def measure(rig: Rig, section: Section) -> None:
    await rig.link(SESSION)
    await _one_by_one(rig, section)
    paths = ("/status", f"/sessions/{SESSION}")
    rates: dict[str, list[float]] = {path: [] for path in paths}
    latencies: dict[str, list[float]] = {path: [] for path in paths}
    seconds = 0.5 if rig.quick else BURST_S
    patience = rig.patience()
    machine.pin(rig.service.pid, SERVICE_CORE)
    machine.pin(rig.redis.process.pid, OTHERS_CORE)
    try:
        for _ in range(rig.rounds(5)):
            for path in paths:
                found = await patience.quietly(partial(burst, rig.service.port, path, seconds))
                rates[path].append(found["per_second"])
                latencies[path].append(found["p50_ms"])
    finally:
        machine.pin(rig.service.pid, None)
        machine.pin(rig.redis.process.pid, None)
    section.head(
        f"bursts of {seconds:g} s over {CONNECTIONS} connections; the service on one core, the rest on the other"
    )
    for path in paths:
        section.add(f"GET {path}, median latency of a burst", latencies[path])
        section.at_least(f"GET {path}", section.add(f"GET {path}", rates[path], "a second"), PER_SECOND, "a second")
    section.patience(patience)


async def _one_by_one(rig: Rig, section: Section) -> None:
    """One caller, one request at a time: what a read takes when nothing queues."""
    asked = 100 if rig.quick else 2_000
    async with rig.service.client() as client:
        with rig.redis.client() as redis:
            await client.timed("GET", f"/sessions/{SESSION}")
            redis.config_resetstat()
            before = await rig.service.redis_times()
            took = [await client.timed("GET", f"/sessions/{SESSION}") for _ in range(asked)]
            after = await rig.service.redis_times()
            usec = redis.info("commandstats")["cmdstat_evalsha"]["usec_per_call"]
    calls, seconds = after["read"][0] - before["read"][0], after["read"][1] - before["read"][1]
    section.head(f"one caller, {asked} reads of a linked session's record")
    section.add(f"GET /sessions/{SESSION}", took)
    section.fact("round trips to Redis for each", calls / asked)
    section.at_most("round trip to Redis, mean, as the service sees it", seconds / calls * 1000, READ_MS, "ms")
    section.at_most("in the Redis server, mean", usec / 1000, READ_MS, "ms")


async def burst(port: int, path: str, seconds: float) -> dict[str, float]:
    """Load from a process of its own, on another core."""
    options = ["--port", str(port), "--path", path, "--seconds", str(seconds), "--connections", str(CONNECTIONS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load", *options, stdout=asyncio.subprocess.PIPE
    )
    machine.pin(process.pid, OTHERS_CORE)
    output, _ = await asyncio.wait_for(process.communicate(), seconds + 30)
    if process.returncode != 0:
        raise RuntimeError("the load generator failed")
    found: dict[str, float] = json.loads(output)
    return found
