"""`relink serve` as a process of its own, for tests that kill it."""

import asyncio
import json
import os
import signal
import sys
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ROOT = Path(__file__).parents[2]
START_S = 60.0
END_S = 30.0


class ServiceProcess:
    """Enter it to start the service on a free port; it is ready then. `http` is a client for it.

    `environment`: settings, as environment variables. Nothing of the environment of the tests reaches it but PATH.
    `program`: another module than `app` to run, for example `tests.support.hasty`.
    """

    def __init__(self, environment: dict[str, str], *, program: str = "app") -> None:
        self._program = program
        own = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PORT": "0", "LOG_FORMAT": "json"}
        self._environment = own | environment
        self.log: deque[str] = deque(maxlen=200)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._program,
            "serve",
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._serving: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())
        try:
            url = await asyncio.wait_for(asyncio.shield(self._serving), START_S)
        except BaseException:
            await self._end(signal.SIGKILL)
            raise
        # Connections are let go of before the server does it: else a request now and then meets a closed one.
        limits = httpx.Limits(keepalive_expiry=2)
        self.http = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, limits=limits)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()
        await self._end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def post(self, path: str) -> dict[str, Any]:
        """The answer to a POST without a body. Raises AssertionError for an error."""
        answer = await self.http.post(path)
        assert answer.is_success, answer.text
        content: dict[str, Any] = answer.json()
        return content

    async def status(self, session: str) -> str:
        answer = await self.http.get(f"/sessions/{session}")
        return str(answer.json()["status"])

    async def kill(self) -> None:
        """SIGKILL, and see it gone."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM, and wait for the orderly end. Returns its exit status."""
        await self._end(signal.SIGTERM)
        assert self._process.returncode is not None
        return self._process.returncode

    async def _end(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)
        try:
            await asyncio.wait_for(self._process.wait(), END_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise
        finally:
            self._reader.cancel()
            await asyncio.wait({self._reader})

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self.log.append(text)
            if '"serving"' in text and not self._serving.done():
                self._serving.set_result(json.loads(text)["url"])
        if not self._serving.done():
            self._serving.set_exception(RuntimeError("the service did not start: " + "\n".join(self.log)))
