"""A Redis that keeps its data, and can be killed and started again."""

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import redis.asyncio
from redis import exceptions

from tests.support.redis_server import binary

READY_S = 20.0


class DurableRedis:
    """Enter it to start the server. What it has answered is in its append-only file: it is written before the answer
    (`appendfsync no` only leaves out the fsync, which matters when the machine dies, not the process)."""

    async def __aenter__(self) -> Self:
        executable = binary("7") or binary("6.2")
        assert executable is not None, "no redis-server found"
        self.directory = Path(tempfile.mkdtemp(prefix="relink-chaos-"))
        self._socket = self.directory / "s"
        self.url = f"unix://{self._socket}"
        self._command = [
            *(executable, "--port", "0", "--unixsocket", str(self._socket), "--dir", str(self.directory)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "no"),
        ]
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def restart(self, away_s: float) -> None:
        """SIGKILL, then, `away_s` seconds later, a new process on the same data."""
        await self._end()
        await asyncio.sleep(away_s)
        await self._start()

    async def _start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*self._command, stdout=log, stderr=log)
        async with asyncio.timeout(READY_S), redis.asyncio.Redis(unix_socket_path=str(self._socket)) as client:
            while True:
                try:
                    await client.ping()
                except exceptions.ConnectionError:  # BusyLoadingError is one
                    await asyncio.sleep(0.02)
                else:
                    return

    async def _end(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
