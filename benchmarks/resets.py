"""Force-reset of a linked session that is online, in a small database and beside a million other keys."""

import asyncio
import statistics
from functools import partial
from itertools import count

from benchmarks.http import Client
from benchmarks.machine import Patience
from benchmarks.report import Section
from benchmarks.rig import Phones, Rig, Service
from tests.support.redis_server import RedisServer, redis_server

OTHERS = 1_000_000
AT_A_TIME = 50_000
WARM_UP = 3
REST_S = 0.25
"""For what a client still writes after its login."""

RESET_MS = 10.0
SAME = 1.25
"""Taken for no difference: a search through those keys would make it hundreds."""

_FILL = """for i = 1, ARGV[2] do redis.call('SET', 'other:' .. (ARGV[1] + i), 'a value of some other program') end"""

_names = count(1)


async def measure(rig: Rig, section: Section) -> None:
    with redis_server() as crowded:
        others = 10_000 if rig.quick else OTHERS
        await asyncio.to_thread(fill, crowded, others)
        async with rig.another_service(crowded) as beside:
            patience = rig.patience()
            small, large = await _measure(rig, rig.service, beside, patience)
    alone = section.add("in a database of its own", small)
    crowd = section.add(f"beside {others:,} other keys", large)
    section.at_most("force-reset, session online", alone, RESET_MS, "ms")
    section.at_most(f"force-reset, session online, {others:,} other keys", crowd, RESET_MS, "ms")
    ratios = [beside_others / by_itself for by_itself, beside_others in zip(small, large, strict=True)]
    section.at_most("the second as a multiple of the first, median", statistics.median(ratios), SAME, "x")
    section.patience(patience)


def fill(redis: RedisServer, keys: int) -> None:
    """Put so many keys of another program into the database."""
    with redis.client() as client:
        for start in range(0, keys, AT_A_TIME):
            client.eval(_FILL, 0, start, min(AT_A_TIME, keys - start))


async def _measure(rig: Rig, first: Service, second: Service, patience: Patience) -> tuple[list[float], list[float]]:
    async with first.client() as one, second.client() as two:

        async def both(order: int) -> tuple[float, float]:
            took = [0.0, 0.0]
            for which in (order % 2, 1 - order % 2):
                took[which] = await _linked_and_reset(rig.phones, (first, second)[which], (one, two)[which])
            return took[0], took[1]

        for number in range(rig.rounds(WARM_UP)):
            await both(number)
        took = [await patience.quietly(partial(both, number)) for number in range(rig.rounds(30))]
    return [pair[0] for pair in took], [pair[1] for pair in took]


async def _linked_and_reset(phones: Phones, service: Service, client: Client) -> float:
    """Milliseconds of the reset."""
    session = f"reset-{next(_names)}"
    code = await client.call("POST", f"/sessions/{session}/qr")
    async with service.follow(session) as events:
        await phones.scan(code["text"])
        await events.until("connected")
    await asyncio.sleep(REST_S)
    took = await client.timed("POST", f"/sessions/{session}/force-reset")
    await asyncio.sleep(REST_S)  # the unlinking that goes on behind it
    return took
