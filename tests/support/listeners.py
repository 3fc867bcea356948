"""A `SocketListener` that records what it hears and keeps the auth state in a dictionary."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeVar

from app.engine.base import EngineEvent, StaleEpoch

WAIT_S = 15.0

E = TypeVar("E", bound=EngineEvent)


class RecordingListener:
    """`auth`: what was written. `heard`: every event. `stale`: answer as to a stale epoch. `error`: raise it on
    writing. `gate`: clear it, and reads and writes wait until it is set again."""

    def __init__(self, auth: Mapping[str, str] | None = None) -> None:
        self.auth: dict[str, str] = dict(auth or {})
        self.heard: list[EngineEvent] = []
        self.reads = 0
        self.writes = 0
        self.stale = False
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self._events: asyncio.Queue[EngineEvent] = asyncio.Queue()

    @property
    def creds(self) -> str:
        return self.auth["creds"]

    def on_event(self, event: EngineEvent) -> None:
        self.heard.append(event)
        self._events.put_nowait(event)

    async def read_auth(self, fields: Sequence[str]) -> Mapping[str, str]:
        self.reads += 1
        await self._pass()
        return {field: self.auth[field] for field in fields if field in self.auth}

    async def write_auth(self, values: Mapping[str, str | None]) -> None:
        self.writes += 1
        await self._pass()
        if self.error is not None:
            raise self.error
        for field, value in values.items():
            if value is None:
                self.auth.pop(field, None)
            else:
                self.auth[field] = value

    async def next(self, kind: type[E], *, seconds: float = WAIT_S) -> E:
        """The next event, which must be of this kind."""
        event = await asyncio.wait_for(self._events.get(), seconds)
        assert isinstance(event, kind), event
        return event

    async def _pass(self) -> None:
        self.asked.set()
        await self.gate.wait()
        if self.stale:
            raise StaleEpoch
