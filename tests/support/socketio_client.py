"""The JavaScript socket.io-client, driven from Python: what a browser's page or a Node program would hear."""

import asyncio
import json
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

_DRIVER = Path(__file__).parents[1] / "js" / "socketio-driver.js"
_LONGEST_LINE = 16 * 1024 * 1024

Event = tuple[str, Any]
"""Its name and its first argument (None: it has none)."""


class SocketIoClient:
    """One connection. Events are kept until they are asked for."""

    def __init__(self, driver: "SocketIoDriver", name: str) -> None:
        self._driver = driver
        self._name = name
        self._acks: dict[int, asyncio.Future[list[Any]]] = {}
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    async def emit(self, event: str, *args: object) -> None:
        """Send, without asking for an acknowledgement."""
        await self._driver.tell(op="emit", client=self._name, event=event, args=args)

    async def call(self, event: str, *args: object, timeout: float = 10) -> Any:
        """Send, and wait for the acknowledgement's one argument."""
        number = next(self._driver.numbers)
        self._acks[number] = answer = asyncio.get_running_loop().create_future()
        await self._driver.tell(op="emit", client=self._name, event=event, args=args, ack=number)
        (only,) = await asyncio.wait_for(answer, timeout)
        return only

    async def next(self, timeout: float = 10) -> Event:
        """The next event."""
        return await asyncio.wait_for(self._events.get(), timeout)

    async def until(self, name: str, timeout: float = 10, **expected: object) -> list[Event]:
        """All events up to the first that is called so and has these fields."""
        seen: list[Event] = []
        async with asyncio.timeout(timeout):
            while True:
                seen.append(await self._events.get())
                if seen[-1][0] == name and (not expected or expected.items() <= seen[-1][1].items()):
                    return seen

    def heard(self) -> list[Event]:
        """What has come and was not asked for yet."""
        return [self._events.get_nowait() for _ in range(self._events.qsize())]

    async def close(self) -> None:
        await self._driver.tell(op="close", client=self._name)

    def take(self, message: dict[str, Any]) -> None:
        if "ack" in message:
            self._acks.pop(message["ack"]).set_result(message["args"])
        else:
            self._events.put_nowait((message["event"], message["args"][0] if message["args"] else None))


class SocketIoDriver:
    """A Node process that holds the connections of one test."""

    def __init__(self, process: Process) -> None:
        self.numbers = count(1)
        self._process = process
        self._clients: dict[str, SocketIoClient] = {}

    async def open(self, url: str, **options: object) -> SocketIoClient:
        """Begin to connect; the first event is `connect` or `connect_error`."""
        name = f"c{next(self.numbers)}"
        self._clients[name] = client = SocketIoClient(self, name)
        given = {"transports": ["websocket"], "reconnection": False, **options}
        await self.tell(op="connect", client=name, url=url, options=given)
        return client

    async def connect(self, url: str, **options: object) -> SocketIoClient:
        """A client that is connected."""
        client = await self.open(url, **options)
        event, detail = await client.next()
        assert event == "connect", (event, detail)
        return client

    async def tell(self, **command: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def listen(self) -> None:
        """Hand on what the clients hear, until the process ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            self._clients[message["client"]].take(message)


@asynccontextmanager
async def socketio_driver() -> AsyncIterator[SocketIoDriver]:
    """Runs Node. Its standard error goes to the test's."""
    node = shutil.which("node")
    assert node is not None, "these tests need Node on PATH"
    process = await asyncio.create_subprocess_exec(node, str(_DRIVER), stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE)
    driver = SocketIoDriver(process)
    listening = asyncio.create_task(driver.listen())
    try:
        yield driver
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
        await listening
