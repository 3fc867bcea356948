"""One socket that lives in a bridge process: its requests served and its events delivered, strictly in order."""

import asyncio
import traceback
from collections.abc import Callable
from contextlib import suppress

import structlog

from app.engine.base import (
    Closed,
    EngineError,
    EngineEvent,
    QrOffered,
    SocketListener,
    StaleEpoch,
)
from app.engine.process import BridgeProcess, ProcessDied
from app.engine.wire import Message, event_of

log = structlog.get_logger(__name__)

CLOSE_S = 3.0
"""The bridge cuts a peer that does not answer off after 1.5 s."""

LOGOUT_S = 5.0
PAIRING_CODE_S = 20.0

DRAIN_S = 2.0
"""How long the last writes of a socket that was closed may take. WhatsApp repeats what was not acknowledged."""

MAX_WAITING = 10_000
"""Messages of one socket that may wait for the store; a socket that sends more is out of its mind."""


class BridgedSocket:
    """An `EngineSocket`. The worker feeds it with `receive`, and calls `lost` when the process is gone.

    `on_gone` is called once, when nothing more will be asked for or delivered.
    """

    def __init__(
        self,
        process: BridgeProcess,
        number: int,
        *,
        session: str,
        epoch: int,
        listener: SocketListener,
        on_gone: Callable[[], None],
    ) -> None:
        self._process = process
        self._address = {"session": session, "epoch": epoch, "socket": number}
        self._listener = listener
        self._on_gone = on_gone
        self._inbox: asyncio.Queue[tuple[Message | Closed | None, float]] = asyncio.Queue()
        self.taken = False  # the bridge has confirmed it; before that its owner does not know of it
        self._quiet = False
        self._log = log.bind(session=session, epoch=epoch, socket=number)
        self._pump = asyncio.create_task(self._run(), name=f"socket {session} {epoch}")

    # For the worker.

    def receive(self, message: Message) -> None:
        """A message of the bridge about this socket."""
        if self._inbox.qsize() >= MAX_WAITING:
            if not self._quiet:
                self._log.error("socket_floods")
                self.abandon()
                self._deliver(Closed(None, "the socket sent more than the store could take"), 0)
                self._quiet = True
            return
        self._put(message)

    def lost(self, why: str) -> None:
        """The process is gone. What it said before is still dealt with."""
        if self.taken:
            self._put(Closed(None, why))

    def abandon(self) -> None:
        """Have the bridge drop the socket, and stop without another word to the listener."""
        with suppress(ProcessDied):
            self._process.send({"id": 0, "op": "close", **self._address})  # nobody waits for an answer with id 0
        self._pump.cancel()

    # For the owner (EngineSocket).

    async def close(self) -> None:
        if self._quiet or self._pump.done():
            self._quiet = True
            return
        self._quiet = True
        try:
            await self._process.request("close", timeout=CLOSE_S, **self._address)
        except EngineError as error:
            self._log.info("close_unanswered", problem=str(error))
        await self._drain()

    async def logout(self) -> bool:
        if self._quiet or self._pump.done():
            self._quiet = True
            return False
        self._quiet = True
        try:
            answer = await self._process.request("logout", timeout=LOGOUT_S, **self._address)
            return answer.get("sent") is True
        except EngineError:
            self.abandon()
            raise
        finally:
            await self._drain()

    async def pairing_code(self, phone: str) -> str:
        if self._quiet or self._pump.done():
            raise EngineError("the socket is gone")
        answer = await self._process.request("pairing-code", timeout=PAIRING_CODE_S, phone=phone, **self._address)
        return str(answer.get("code"))

    # The pump.

    def _put(self, item: Message | Closed | None) -> None:
        self._inbox.put_nowait((item, asyncio.get_running_loop().time()))

    async def _run(self) -> None:
        try:
            while True:
                item, since = await self._inbox.get()
                if item is None:
                    return
                event: EngineEvent | None
                if isinstance(item, Closed):
                    event = item
                elif "op" in item:
                    event = await self._serve(item)
                else:
                    event = event_of(item)
                    if event is None:
                        self._log.warning("bridge_message_skipped", kind=str(item.get("event"))[:40])
                if event is not None:
                    waited_ms = (asyncio.get_running_loop().time() - since) * 1000
                    self._deliver(event, int(waited_ms))
                if isinstance(event, Closed):
                    return
        finally:
            self._on_gone()

    async def _serve(self, request: Message) -> Closed | None:
        """Answer what the bridge asks. `Closed` when that was the end of the socket."""
        answer: Message
        closed = None
        try:
            match request:
                case {"op": "keys-get", "fields": list(fields)}:
                    found = await self._listener.read_auth([str(field) for field in fields])
                    answer = {"ok": True, "values": dict(found)}
                case {"op": "keys-set", "values": dict(values)}:
                    await self._listener.write_auth(values)
                    answer = {"ok": True}
                case _:
                    answer = {"ok": False, "error": "unknown request"}
        except StaleEpoch:
            answer = {"ok": False, "error": "stale"}
            closed = Closed(None, "the epoch is stale")
        except Exception as error:
            # Without its traceback, which some log formats print with all local variables: keys, here.
            self._log.error("auth_request_failed", op=request.get("op"), **described(error))
            answer = {"ok": False, "error": f"the store failed: {type(error).__name__}"}
            match request:
                case {"op": "keys-set", "values": {"creds": _}}:
                    # What WhatsApp thinks of the device from here on is written nowhere.
                    closed = Closed(None, f"credentials could not be stored: {type(error).__name__}")
        self._answer(request, answer)
        return closed

    def _answer(self, request: Message, answer: Message) -> None:
        try:
            self._process.send({"id": request.get("id"), **answer})
        except ProcessDied:
            pass  # `lost` comes
        except ValueError:
            self._log.error("auth_answer_too_long")
            self._process.send({"id": request.get("id"), "ok": False, "error": "answer too long"})

    def _deliver(self, event: EngineEvent, waited_ms: int) -> None:
        if self._quiet:
            return
        if isinstance(event, QrOffered) and waited_ms > 0:
            event = QrOffered(event.text, event.ttl_ms - waited_ms, event.number, event.limit)
            if event.ttl_ms <= 0:
                return
        try:
            self._listener.on_event(event)
        except Exception as error:
            self._log.error("listener_failed", kind=type(event).__name__, **described(error))

    async def _drain(self) -> None:
        """See the writes through that came before the end."""
        if asyncio.current_task() is self._pump:
            return  # a listener closed its own socket while it was asked something
        self._put(None)
        await asyncio.wait({self._pump}, timeout=DRAIN_S)
        self._pump.cancel()


def described(error: Exception) -> dict[str, str]:
    """What can be logged of an error that passed through code with secrets in its variables."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
    return {"error": type(error).__name__, "problem": str(error)[:200], "where": where}
