"""The engine that speaks WhatsApp: Baileys, in Node processes of their own."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import structlog

from app.engine.base import EngineError, SocketListener
from app.engine.bridged import BridgedSocket
from app.engine.node import find_bridge, find_node
from app.engine.process import ProcessDied
from app.engine.worker import ProcessStats, Worker
from app.settings import Settings

log = structlog.get_logger(__name__)

OPEN_GRACE_S = 6.0
"""How much longer than the detection of a hung bridge an `open` waits: time for its replacement to start."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    processes: tuple[ProcessStats, ...]

    @property
    def sockets(self) -> int:
        return sum(process.sockets for process in self.processes)

    @property
    def restarts(self) -> int:
        return sum(process.restarts for process in self.processes)


class BaileysEngine:
    """An `Engine` over `settings.bridge_processes` bridge processes; a new socket goes to the one with the fewest.

    Enter it to start the processes. `command` replaces `node bridge/src/main.js`, and `environment` adds to what
    the settings say, both for tests.
    """

    def __init__(
        self, settings: Settings, *, command: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings
        self._command = command
        self._environment = bridge_environment(settings) | dict(environment or {})
        self._workers: list[Worker] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Returns when every process is ready. Raises EngineError that says what is wrong, within half a minute."""
        command = self._command or [await asyncio.to_thread(find_node), str(find_bridge())]
        timeout = self._settings.bridge_timeout
        self._workers = [
            Worker(command, self._environment, timeout=timeout, changed=self._changed)
            for _ in range(self._settings.bridge_processes)
        ]
        try:
            await asyncio.gather(*(worker.start() for worker in self._workers))
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stop()

    async def open(self, session: str, epoch: int, creds: str | None, listener: SocketListener) -> BridgedSocket:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.bridge_timeout + OPEN_GRACE_S
        while True:
            worker = await self._pick(deadline)
            try:
                return await worker.open(session, epoch, creds, listener, timeout=deadline - loop.time())
            except ProcessDied as error:
                if loop.time() >= deadline:
                    raise
                log.info("open_tried_again", session=session, epoch=epoch, problem=str(error))

    def stats(self) -> EngineStats:
        """Counters of the moment, for metrics."""
        return EngineStats(tuple(worker.stats() for worker in self._workers))

    async def _pick(self, deadline: float) -> Worker:
        """The process for a new socket. Waits for one that is just being started."""
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    ready = [worker for worker in self._workers if worker.ready]
                    if ready:
                        return min(ready, key=lambda worker: (worker.late, len(worker.sockets)))
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise EngineError("no bridge process is ready") from None

    async def _stop(self) -> None:
        await asyncio.gather(*(worker.stop() for worker in self._workers))


def bridge_environment(settings: Settings) -> dict[str, str]:
    """The bridge's environment variables (docs/wire.md) for these settings."""
    values = {
        "WHATSAPP_URL": settings.whatsapp_url,
        "WHATSAPP_ROOT_KEY": settings.whatsapp_root_key,
        "WHATSAPP_VERSION": settings.whatsapp_version,
        "DEVICE_NAME": settings.device_name,
        "QR_LIFETIME_MS": str(round(settings.qr_lifetime * 1000)) if settings.qr_lifetime is not None else None,
        "KEEP_ALIVE_MS": str(round(settings.keep_alive * 1000)),
        "LOG_LEVEL": settings.log_level,
    }
    return {name: value for name, value in values.items() if value is not None}
