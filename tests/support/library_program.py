"""A program built on the npm library `baileys-redis-auth`, as a process of its own."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from app.engine.node import find_node
from app.model import AuthLayout
from tests.support.redis_server import RedisServer
from tests.support.service_process import ROOT
from tests.support.simulator import Simulator

PROGRAM = ROOT / "tests" / "js" / "baileys-redis-auth-program.js"
WAIT_S = 20.0
LAYOUTS = {AuthLayout.HASH: "hset", AuthLayout.KEYS: "keys"}


class LibraryProgram:
    """Enter it to start the program; leaving it ends the program without a logout. `session`: the library's id."""

    def __init__(self, layout: AuthLayout, session: str, server: RedisServer, simulator: Simulator) -> None:
        where = [str(server.socket), simulator.url, simulator.root_key]
        self._arguments = [str(PROGRAM), LAYOUTS[layout], session, *where]

    async def __aenter__(self) -> Self:
        node = await asyncio.to_thread(find_node)
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(node, *self._arguments, stdin=pipe, stdout=pipe)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), WAIT_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise

    async def says(self, what: str) -> Any:
        """The next line it prints, which must be about `what`: "qr", "open" or "closed"."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), WAIT_S)
        said = json.loads(line)
        assert what in said, f"it said {said}"
        return said[what]
