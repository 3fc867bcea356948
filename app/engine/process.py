"""One bridge process: spawned, spoken to, and brought to an end by one context manager. Every wait is bounded."""

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Self

import structlog

from app.engine.base import EngineError
from app.engine.wire import PROTOCOL, BadLine, Message, Splitter, encode

log = structlog.get_logger(__name__)

CHUNK = 65_536

CLOSE_S = 2.5
"""For an orderly end after its input closed: the bridge gives its sockets 2 s."""
TERM_S = 1.0
KILL_S = 2.0

INHERITED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
"""What the child gets of our environment: nothing that could be a secret of the service."""

LEVELS = {"debug": "debug", "info": "info", "warn": "warning", "error": "error", "fatal": "error"}


_DIE_WITH_PARENT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG; it outlasts the exec
try:
    if os.getppid() == int(sys.argv[1]):
        os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"the bridge could not be started: {error}")
"""
"""Runs in a Python of its own, in place of a `preexec_fn`, which is not safe once there are threads. A bridge whose
service was killed has nobody to write to; while it lives, frozen perhaps, it holds sockets that others open anew."""


def _dying_with_us(command: Sequence[str]) -> list[str]:
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]


class ProcessDied(EngineError):
    """The process ended, or was ended, before it answered."""


class BridgeProcess:
    """Enter it to start the process; it is ready then. Leave it to end the process: close, SIGTERM, SIGKILL.

    `command` and `environment` are the child's (added to a few inherited variables). `on_message` is called, in order,
    with each message about a socket; it must not block. `heard` grows with every line that arrives.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_message: Callable[[Message], None],
        *,
        hello_timeout: float,
    ) -> None:
        self._command = command
        self._environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(environment)
        self._on_message = on_message
        self._hello_timeout = hello_timeout
        self._hello: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._ids = count(1)
        self._stderr_tail: deque[str] = deque(maxlen=8)
        self._exited = asyncio.Event()
        self.heard = 0

    async def __aenter__(self) -> Self:
        """Raises EngineError, with the last lines of its standard error, when the process does not get ready."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *_dying_with_us(self._command),
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # Ctrl-C on the terminal is for us; we end the child in our own order.
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"the bridge could not be started: {error}") from error
        self._log = log.bind(bridge=self._process.pid)
        self._life = asyncio.create_task(self._live(), name=f"bridge {self._process.pid}")
        try:
            await self._get_ready()
        except BaseException:
            self.kill()
            await self._stop()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self._exited.is_set()

    async def exited(self) -> None:
        """Return when the process has ended and everything it said was passed on."""
        await self._exited.wait()

    async def request(self, op: str, *, timeout: float, **fields: object) -> Message:
        """The answer to a request. Raises EngineError when it is refused or does not come in time, ProcessDied."""
        number = next(self._ids)
        asked: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[number] = asked
        try:
            self.send({"id": number, "op": op, **fields})
            async with asyncio.timeout(timeout):
                answer = await asked
        except TimeoutError:
            raise EngineError(f"the bridge did not answer `{op}` within {timeout:g} s") from None
        finally:
            del self._asked[number]
        if answer.get("ok") is not True:
            raise EngineError(str(answer.get("error", "refused")))
        return answer

    def send(self, message: Mapping[str, object]) -> None:
        """Send without waiting. Raises ProcessDied, ValueError for a message that is too long."""
        line = encode(message)
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing() or not self.alive:
            raise ProcessDied("the bridge process has ended")
        stdin.write(line)

    def kill(self) -> None:
        """End the process at once, whatever state it is in (a stopped one too)."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _get_ready(self) -> None:
        ended = asyncio.create_task(self._exited.wait())
        try:
            waiting: set[asyncio.Future[Message] | asyncio.Task[bool]] = {self._hello, ended}
            await asyncio.wait(waiting, timeout=self._hello_timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if not self._hello.done():
            ending = f"it ended with status {self._process.returncode}" if not self.alive else "it said nothing in time"
            raise EngineError(" ".join([f"the bridge did not start: {ending}.", *self._stderr_tail]))
        hello = self._hello.result()
        if hello.get("protocol") != PROTOCOL:
            raise EngineError(f"the bridge speaks protocol {hello.get('protocol')}, not {PROTOCOL}: update it.")
        self._log.info("bridge_ready", baileys=hello.get("baileys"), node=hello.get("node"))

    async def _live(self) -> None:
        """Read until the process has closed its output, then see it out."""
        try:
            async with asyncio.TaskGroup() as readers:
                readers.create_task(self._read_stdout())
                readers.create_task(self._read_stderr())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), TERM_S)
        finally:
            self.kill()  # without its output it is of no use, should it still run
            self._exited.set()
            for asked in self._asked.values():
                if not asked.done():
                    asked.set_exception(ProcessDied("the bridge process died"))

    async def _stop(self) -> None:
        stdin = self._process.stdin
        if stdin is not None:
            stdin.close()
        try:
            for patience, escalate in ((CLOSE_S, self._terminate), (TERM_S, self.kill), (KILL_S, self.kill)):
                await asyncio.wait({self._life}, timeout=patience)
                if self._life.done():
                    break
                self._log.warning("bridge_does_not_end")
                escalate()
        finally:
            self.kill()
            self._life.cancel()
            await asyncio.wait({self._life}, timeout=KILL_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), KILL_S)

    def _terminate(self) -> None:
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def _read_stdout(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        splitter = Splitter()
        while chunk := await stdout.read(CHUNK):
            for message in splitter.feed(chunk):
                self.heard += 1
                self._receive(message)

    def _receive(self, message: Message | BadLine) -> None:
        match message:
            case BadLine(reason, length):
                self._log.warning("bridge_line_skipped", problem=reason, length=length)
            case {"event": "hello"}:
                if not self._hello.done():
                    self._hello.set_result(message)
            case {"socket": int()}:
                self._on_message(message)
            case {"id": int(number)} if number in self._asked:
                if not self._asked[number].done():
                    self._asked[number].set_result(message)
            case {"id": int()}:
                pass  # an answer that nobody waits for any more
            case _:
                self._log.warning("bridge_line_skipped", problem="not a message of the wire", length=len(message))

    async def _read_stderr(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        rest = b""
        while chunk := await stderr.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-CHUNK:]
            for line in lines:
                self._log_line(line)
        self._log_line(rest)

    def _log_line(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        if not text:
            return
        try:
            fields = json.loads(text)
            level, event = LEVELS[fields.pop("level")], fields.pop("msg")
        except (ValueError, KeyError, TypeError, AttributeError):
            self._stderr_tail.append(text[:300])
            self._log.warning("bridge_said", text=text[:300])
            return
        getattr(self._log, level)("bridge_log", text=event, **{f"bridge_{name}": fields[name] for name in fields})
