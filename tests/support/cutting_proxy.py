"""A way to Redis on which every connection is cut in the middle of an answer, sooner or later."""

import asyncio
import random
from typing import Self


class CuttingProxy:
    """Enter it to listen on loopback. Each connection is cut when it has brought so many bytes of answers as chance
    (`seed`) says, between `least` and `most`."""

    def __init__(self, port: int, *, least: int, most: int, seed: int) -> None:
        self.cuts = 0
        self._behind = port
        self._range = (least, most)
        self._chance = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/0"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        asking = asyncio.create_task(_pass_on(reader, back_writer))
        try:
            left = self._chance.randint(*self._range)
            while left > 0 and (answer := await back_reader.read(left)):
                writer.write(answer)
                await writer.drain()
                left -= len(answer)
            self.cuts += left == 0
        except ConnectionError:
            pass  # the client went away
        finally:
            writer.transport.abort()
            back_writer.transport.abort()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while asked := await reader.read(1 << 16):
        writer.write(asked)
        await writer.drain()
    writer.close()
