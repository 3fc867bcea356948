"""Keeps one bridge process running: watches it, replaces it, and tells its sockets when it died."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import structlog

from app.engine.base import EngineError, SocketListener
from app.engine.bridged import BridgedSocket
from app.engine.process import BridgeProcess, ProcessDied
from app.engine.wire import Message

log = structlog.get_logger(__name__)

HELLO_S = 20.0
"""Loading Baileys takes about a second; a machine that needs more than this is of no use."""

PING_S = 1.0

RESTART_BASE_S = 0.25
RESTART_CAP_S = 5.0
HEALTHY_S = 10.0
"""A process that lived so long is replaced at once; those that die younger, with growing delay."""


@dataclass(frozen=True, slots=True)
class ProcessStats:
    """`pid` None: between two processes. `ping_ms`, `rss_bytes`: as of the last ping answered."""

    pid: int | None
    sockets: int
    restarts: int
    ping_ms: float | None
    rss_bytes: int | None


class Worker:
    """`changed` is set whenever the worker becomes ready. A process that says nothing for `timeout` seconds is killed.

    `sockets`: those it holds, by number. `late`: the process owes an answer to the last ping.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, timeout: float, changed: asyncio.Event
    ) -> None:
        self._command = command
        self._environment = environment
        self._timeout = timeout
        self._changed = changed
        self._process: BridgeProcess | None = None
        self._numbers = count(1)
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._starts = 0
        self._ping_ms: float | None = None
        self._rss: int | None = None
        self.sockets: dict[int, BridgedSocket] = {}
        self.late = False

    @property
    def ready(self) -> bool:
        return self._process is not None and self._process.alive

    def stats(self) -> ProcessStats:
        pid = self._process.pid if self._process is not None else None
        return ProcessStats(pid, len(self.sockets), max(0, self._starts - 1), self._ping_ms, self._rss)

    async def start(self) -> None:
        """Return when the process is ready. Raises EngineError when the first one does not get so."""
        self._task = asyncio.create_task(self._run(), name="bridge worker")
        await self._first

    async def stop(self) -> None:
        """End the process, in an orderly way if it lets us. Sockets that are still open hear nothing of it."""
        for socket in list(self.sockets.values()):
            socket.abandon()
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def open(
        self, session: str, epoch: int, creds: str | None, listener: SocketListener, *, timeout: float
    ) -> BridgedSocket:
        """As `Engine.open`. Raises ProcessDied when another try, on another process, makes sense."""
        process = self._process
        if process is None:
            raise ProcessDied("the bridge process died")
        number = next(self._numbers)
        socket = BridgedSocket(
            process, number, session=session, epoch=epoch, listener=listener, on_gone=lambda: self._forget(number)
        )
        self.sockets[number] = socket
        try:
            await process.request("open", timeout=timeout, session=session, epoch=epoch, socket=number, creds=creds)
        except BaseException:
            socket.abandon()
            raise
        socket.taken = True
        return socket

    def _forget(self, number: int) -> None:
        self.sockets.pop(number, None)

    async def _run(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            self._starts += 1
            began = asyncio.get_running_loop().time()
            try:
                await self._run_one()
            except EngineError as error:
                log.error("bridge_failed", problem=str(error))  # noqa: TRY400 - the text says it all
                if not self._first.done():
                    self._first.set_exception(error)
                    return
            if self._stopping.is_set():
                return
            deaths = 1 if asyncio.get_running_loop().time() - began > HEALTHY_S else deaths + 1
            delay = 0.0 if deaths == 1 else min(RESTART_CAP_S, RESTART_BASE_S * 2 ** (deaths - 2))
            log.warning("bridge_restarts", deaths=deaths, delay_s=delay)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _run_one(self) -> None:
        """Start a process and stay with it until it is gone."""
        command, environment = self._command, self._environment
        async with BridgeProcess(command, environment, self._on_message, hello_timeout=HELLO_S) as process:
            self._process = process
            self.late = False
            if not self._first.done():
                self._first.set_result(None)
            self._changed.set()
            try:
                await self._watch(process)
            finally:
                self._process = None
                for socket in list(self.sockets.values()):
                    socket.lost("the bridge process died")

    async def _watch(self, process: BridgeProcess) -> None:
        """Return when the process is gone, was killed for its silence, or is to stop."""
        tick = min(PING_S, self._timeout / 4)
        ends = [asyncio.create_task(process.exited()), asyncio.create_task(self._stopping.wait())]
        ping = asyncio.create_task(self._ping(process))
        heard, silent = process.heard, 0.0
        loop = asyncio.get_running_loop()
        try:
            while True:
                began = loop.time()
                done, _ = await asyncio.wait(ends, timeout=tick, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    return
                # Counted in ticks: after this process itself was stopped, what the bridge said meanwhile is read first.
                silent = 0.0 if process.heard != heard else silent + min(loop.time() - began, 2 * tick)
                heard = process.heard
                if silent >= self._timeout:
                    log.error("bridge_hangs", bridge=process.pid, silent_s=round(silent, 1))
                    process.kill()
                    return
                self.late = not ping.done()
                if ping.done():
                    ping = asyncio.create_task(self._ping(process))
        finally:
            for task in (*ends, ping):
                task.cancel()

    async def _ping(self, process: BridgeProcess) -> None:
        began = asyncio.get_running_loop().time()
        try:
            answer = await process.request("ping", timeout=2 * self._timeout)
        except EngineError:
            return  # `_watch` judges by silence
        self._ping_ms = (asyncio.get_running_loop().time() - began) * 1000
        rss = answer.get("rss")
        self._rss = rss if isinstance(rss, int) else None

    def _on_message(self, message: Message) -> None:
        number = message["socket"]
        socket = self.sockets.get(number) if isinstance(number, int) else None
        if socket is not None:
            socket.receive(message)
        elif "op" in message and self._process is not None:
            # Nobody here knows the socket any more: the bridge is to drop it.
            with suppress(ProcessDied):
                self._process.send({"id": message.get("id"), "ok": False, "error": "stale"})
