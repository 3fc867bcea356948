"""Ends a redis-server that a killed Relink left behind, and no other process.

Called with the lock of DATA_DIR held: a server on its data belongs to no living Relink.
"""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import structlog
from redis import Redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

_STEP_TIMEOUT_S = 10.0


def shutdown(socket: Path) -> None:
    """Ask the server on `socket` to write its data and end. Blocks, bounded; says nothing if it does not answer."""
    client = Redis(unix_socket_path=str(socket), socket_timeout=_STEP_TIMEOUT_S, retry=Retry(NoBackoff(), 0))
    with contextlib.closing(client), contextlib.suppress(redis_errors.RedisError, OSError):
        client.shutdown()


def end(pid_file: Path, socket: Path) -> None:
    """End the server that wrote `pid_file` and listens on `socket`, if it still runs. Blocks, bounded."""
    pid = _pid(pid_file)
    if pid is not None and _is_server_of(pid, pid_file.parent, socket):
        log.warning("embedded_redis_leftover", pid=pid)
        shutdown(socket)
        for step in (signal.SIGTERM, signal.SIGKILL):
            if _is_gone(pid):
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, step)
        _is_gone(pid)
    pid_file.unlink(missing_ok=True)
    socket.unlink(missing_ok=True)


def _pid(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text())
    except (OSError, ValueError):
        return None


def _is_server_of(pid: int, directory: Path, socket: Path) -> bool:
    """Whether `pid` is a redis-server on this data. Its command line names the configuration file at first, the socket
    later (Redis sets its process title)."""
    command = _command_line(pid)
    return "redis-server" in command and (str(directory) in command or str(socket) in command)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        pass
    try:  # no /proc: macOS
        # S603, S607: fixed words and a number, no shell; ps lies in the same place nowhere.
        answer = subprocess.run(  # noqa: S603
            ["ps", "-ww", "-p", str(pid), "-o", "command="],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout


def _is_gone(pid: int) -> bool:
    """Wait for a process that is not our child: the kernel tells nobody of its end, so look."""
    deadline = time.monotonic() + _STEP_TIMEOUT_S
    while time.monotonic() < deadline:
        if not _command_line(pid):
            return True
        time.sleep(0.02)
    return False
