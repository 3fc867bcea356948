"""One run: calm, chaos, calm again, and the verdict."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.checker import Checker
from tests.chaos.hands import Hands
from tests.chaos.schedule import Act, schedule
from tests.chaos.verdict import judge, settled
from tests.chaos.world import World, world

SETTLE_S = 75.0
FIRST_LINKS = 0.6
"""So many of the sessions are linked before anything breaks."""


@dataclass(frozen=True)
class Report:
    seed: int
    wrong: list[str]
    diary: list[str]
    summary: str


async def run(
    seed: int,
    seconds: float,
    *,
    replicas: int = 3,
    sessions: int = 40,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Chaos for so many seconds. Nothing is raised for what is found wrong: it is in the report."""
    async with world(replicas, sessions) as stands:
        hands, checker = Hands(stands, replicas), Checker(stands)
        say(f"seed {seed}: {replicas} replicas, {sessions} sessions, {seconds:g} s")
        await _first_links(stands, hands)
        watching = asyncio.create_task(checker.run())
        try:
            stands.began = time.time()
            acts = schedule(seed, seconds)
            await _chaos(stands, hands, acts, say)
            stands.note("faults stop")
            await hands.heal()
            took = await _settle(stands)
        finally:
            watching.cancel()
            await asyncio.wait({watching})
        await checker.look()
        await checker.look()
        await judge(stands, checker)
        kinds = Counter(act.kind for act in acts)
        counted = (await stands.simulator.counters()).totals
        transitions = sum(len(entries) for entries in checker.history.values())
        summary = (
            f"{len(acts)} acts ({', '.join(f'{kind} {count}' for kind, count in kinds.most_common())}), "
            f"{transitions} transitions, {counted['connections']} connections, {counted['logins']} logins, "
            f"{counted['replaced']} replaced; settled after {took:.1f} s"
        )
        say(summary)
        return Report(seed, stands.wrong, [*stands.diary, *_stories(stands, checker)], summary)


def _stories(stands: World, checker: Checker) -> list[str]:
    """What happened to the sessions that are complained of."""
    lines = []
    for session in stands.sessions:
        if any(session in wrong for wrong in stands.wrong):
            lines.append(f"timeline of {session}:")
            lines += [
                f"  {entry.at / 1000 - stands.began:7.2f} {entry.seq} {entry.event} -> {entry.to_status} "
                f"epoch {entry.epoch % 10**6} of {entry.owner or 'nobody'} {entry.code or ''} {entry.reason or ''} "
                f"{entry.note or ''}"
                for entry in checker.history[session][-60:]
            ]
    return lines


async def _first_links(stands: World, hands: Hands) -> None:
    gate = asyncio.Semaphore(10)

    async def link(number: int) -> None:
        async with gate:
            await hands.do(Act(0, "link", number, number, 0))

    async with asyncio.TaskGroup() as group:
        for number in range(round(len(stands.sessions) * FIRST_LINKS)):
            group.create_task(link(number))


async def _chaos(stands: World, hands: Hands, acts: list[Act], say: Callable[[str], None]) -> None:
    said = 0
    async with asyncio.TaskGroup() as group:
        for act in acts:
            await asyncio.sleep(max(0.0, stands.began + act.at - time.time()))
            group.create_task(hands.do(act))
            if act.at // 30 > said:
                said = int(act.at // 30)
                say(f"{act.at:5.0f} s, {len(stands.wrong)} wrong")


async def _settle(stands: World) -> float:
    """Wait until every session is where it has to be, or complain of those that are not."""
    began = time.monotonic()
    while wrong := await settled(stands):
        if time.monotonic() - began > SETTLE_S:
            stands.wrong += wrong
            break
        await asyncio.sleep(0.25)
    return time.monotonic() - began
