"""What must hold at every moment, read from Redis while chaos reigns."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.model import CLEARED, Status
from app.store.timeline import _entry
from tests.chaos.world import World

LOOK_S = 0.3

STATE = """
local record = redis.call('HMGET', KEYS[1], 'status', 'epoch', 'seq', 'created_at')
return { record[1], record[2], record[3], record[4], redis.call('EXISTS', KEYS[3], KEYS[4]) }
"""
"""Record and auth state of one session, in one moment."""

NEWER = """
return { redis.call('HGET', KEYS[1], 'created_at'), redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', 1000) }
"""


@dataclass(slots=True)
class Seen:
    """The newest that was seen of one session; `life` is when it was created."""

    epoch: int = 0
    seq: int = 0
    life: str | None = None
    timeline_life: str | None = None
    timeline_seq: int = 0
    timeline_epoch: int = 0


class Checker:
    """`run` it beside the chaos, `look` once more at the end. `history`: all transitions seen, by session."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: defaultdict[str, Seen] = defaultdict(Seen)
        self.history: defaultdict[str, list[Any]] = defaultdict(list)

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        world = self._world
        keys = {session: world.fleet.keys.of_scripts(session) for session in world.sessions}

        async def ask(script: str, args: Mapping[str, tuple[str | int, ...]]) -> dict[str, Any]:
            commands = [("EVAL", script, 4, *keys[session], *args.get(session, ())) for session in world.sessions]
            answers = await world.see(lambda: world.fleet.redis.pipeline(commands))
            return dict(zip(world.sessions, answers, strict=True))

        for session, state in (await ask(STATE, {})).items():
            self._check_state(session, state)
        after = {session: (f"{self._seen[session].timeline_seq + 1}-0",) for session in world.sessions}
        for session, (life, entries) in (await ask(NEWER, after)).items():
            self._check_timeline(session, life, entries)

    def _check_state(self, session: str, state: list[Any]) -> None:
        status, epoch, seq, life, auth = state
        seen = self._seen[session]
        if (status is None or Status(status) in CLEARED) and auth:
            self._world.complain(f"I3 {session} is {status} and has auth state")
        if status is None:
            return
        if int(epoch) < seen.epoch:
            self._world.complain(f"I1 {session}: epoch {epoch} after {seen.epoch}")
        if life == seen.life and int(seq) < seen.seq:
            self._world.complain(f"I7 {session}: seq {seq} after {seen.seq}")
        seen.epoch, seen.seq, seen.life = int(epoch), int(seq), life

    def _check_timeline(self, session: str, life: str | None, entries: list[Any]) -> None:
        seen = self._seen[session]
        if life != seen.timeline_life:
            seen.timeline_life, seen.timeline_seq = life, 0  # another life: its beginning is read at the next look
            return
        for id, flat in entries:
            entry = _entry(id, dict(zip(flat[::2], flat[1::2], strict=True)))
            if entry.seq != seen.timeline_seq + 1:
                self._world.complain(f"I7 {session}: entry {entry.seq} after {seen.timeline_seq}")
            if entry.epoch < seen.timeline_epoch:
                self._world.complain(f"I1 {session}: entry {entry.seq} has epoch {entry.epoch}, before it came more")
            seen.timeline_seq, seen.timeline_epoch = entry.seq, entry.epoch
            self.history[session].append(entry)
