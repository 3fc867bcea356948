"""One socket of a session, and what the engine is given to talk to while it lasts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from app.engine.base import EngineEvent, EngineSocket
from app.errors import StoreUnavailable
from app.model import StaleEpoch
from app.store.auth import AuthStore

STORE_PAUSE_S = 0.5
"""Between two tries of a write that cannot be given up while Redis is away."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One socket of the session, from the wish to open it until it is gone."""

    epoch: int
    socket: EngineSocket | None = None
    logged_in_at: float | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Listener:
    """What the engine talks to on behalf of one attempt. `post` takes its events."""

    def __init__(
        self, session: str, attempt: Attempt, auth: AuthStore, post: Callable[[Attempt, EngineEvent], None]
    ) -> None:
        self._session = session
        self._attempt = attempt
        self._auth = auth
        self._post = post

    def on_event(self, event: EngineEvent) -> None:
        self._post(self._attempt, event)

    async def read_auth(self, fields: Sequence[str]) -> Mapping[str, str]:
        while True:
            with suppress(StoreUnavailable):
                return await self._auth.read(self._session, epoch=self._epoch(), fields=fields)
            await self._pause()

    async def write_auth(self, values: Mapping[str, str | None]) -> None:
        while True:
            with suppress(StoreUnavailable):
                return await self._auth.write(self._session, epoch=self._epoch(), values=values)
            await self._pause()

    def _epoch(self) -> int:
        if self._attempt.over.is_set():
            raise StaleEpoch
        return self._attempt.epoch

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(STORE_PAUSE_S):
                await self._attempt.over.wait()
