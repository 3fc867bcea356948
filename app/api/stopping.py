"""Tells what has no end by itself (event streams, waits for a QR code, Socket.IO) that the service is about to stop.

The web server lets open requests finish before it closes the application, so the news must come from the signal itself.
"""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from app.api.errors import ServiceStopping

_T = TypeVar("_T")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Set once, when the process is told to end."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Begin to stop."""
        self._event.set()

    async def wait(self) -> None:
        """Return when the service begins to stop."""
        await self._event.wait()

    async def unless(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of `work`. Raises ServiceStopping, and cancels `work`, when the service stops before."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ServiceStopping("The service is stopping; ask again in a moment.")
            return task.result()
        finally:
            stop.cancel()
            task.cancel()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Be set by SIGTERM and SIGINT, beside what the server does on them. Only the main thread can listen."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.set)
            previous = before[signal.Signals(number)]
            if callable(previous):
                previous(number, frame)

        for number in _SIGNALS:
            if callable(before[number]):  # else the process dies at once, or the signal is ignored: both as before
                signal.signal(number, handle)
        try:
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)
