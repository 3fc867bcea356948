"""python-socketio and python-engineio, with what they lack: a look at each event before it is dispatched, a way to
end a connection at once, and an end to the tasks they start.

Both override methods that those libraries keep to themselves; `tests/integration/realtime` fails when one is renamed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import engineio
import socketio

_RESERVED = frozenset({"connect", "disconnect", "*", ""})
"""Names that python-socketio takes for its own events, whoever sends them."""


class Server(socketio.AsyncServer):  # type: ignore[misc]
    """`admit` is called with the client's id before each of its events is looked at. As long as it takes, nothing more
    is read from that client: whoever sends too much is slowed down by his own connection."""

    def __init__(self, admit: Callable[[str], Awaitable[None]], **options: Any) -> None:
        super().__init__(**options)
        self._admit = admit

    def socket_of(self, sid: str) -> Any:
        """The Engine.IO socket of a client, None when it is gone."""
        return self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, "/"))

    async def cut(self, sid: str) -> None:
        """End a client's connection, whether it reads or not."""
        socket = self.socket_of(sid)
        if socket is not None:
            await _end(socket, abort=True)

    async def send_off(self) -> None:
        """End every connection in a way after which clients connect again by themselves."""
        for socket in list(self.eio.sockets.values()):
            await _end(socket, abort=False)

    async def close(self) -> None:
        """End everything that was begun for clients."""
        await self.shutdown()
        await self.eio.end_tasks()

    async def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        await self._admit(self.manager.sid_from_eio_sid(eio_sid, namespace or "/"))
        if not isinstance(data, list) or not data or not isinstance(data[0], str) or data[0] in _RESERVED:
            data = ["event"]  # a name that no verb has: answered as any other unknown one
        await super()._handle_event(eio_sid, namespace, id, data)

    def _engineio_server_class(self) -> "type[_EngineServer]":
        return _EngineServer


async def _end(socket: Any, *, abort: bool) -> None:
    if not socket.closed:
        await socket.close(wait=False, abort=abort)
        socket.queue.put_nowait(None)  # the end, for whoever sends to a WebSocket


class _EngineServer(engineio.AsyncServer):  # type: ignore[misc]
    """Remembers its tasks: each client has one that sleeps until its next ping, 25 s even when the client is gone."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tasks: set[asyncio.Future[Any]] = set()

    def start_background_task(self, target: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        task = super().start_background_task(target, *args, **kwargs)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def end_tasks(self) -> None:
        for task in (left := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
