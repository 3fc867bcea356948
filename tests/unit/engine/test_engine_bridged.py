"""One socket's order of things, over a bridge process that only records what it is sent."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import cast

import pytest

from app.engine import bridged
from app.engine.base import Closed, EngineError, LoggedIn, Paired, QrOffered
from app.engine.bridged import BridgedSocket
from app.engine.process import BridgeProcess, ProcessDied
from app.engine.wire import Message
from tests.support.listeners import RecordingListener

QR: Message = {"event": "qr", "text": "t", "ttl_ms": 60_000, "number": 1, "limit": 6}
PAIRED: Message = {"event": "paired", "jid": "j"}
OPEN: Message = {"event": "open", "jid": "j"}
CLOSED: Message = {"event": "closed", "code": 515, "message": "restart"}


class FakeProcess:
    """`hangs`: requests are never answered. `dead`: they fail at once."""

    def __init__(self) -> None:
        self.sent: list[Mapping[str, object]] = []
        self.hangs = False
        self.dead = False

    def send(self, message: Mapping[str, object]) -> None:
        if self.dead:
            raise ProcessDied("dead")
        self.sent.append(message)

    async def request(self, op: str, *, timeout: float, **fields: object) -> Message:
        self.send({"op": op, **fields})
        if self.hangs:
            await asyncio.sleep(timeout)
            raise EngineError("no answer")
        return {"ok": True, "sent": True, "code": "ABCD1234"}


class Bench:
    def __init__(self) -> None:
        self.process = FakeProcess()
        self.listener = RecordingListener()
        self.gone = asyncio.Event()
        self.socket = BridgedSocket(
            cast(BridgeProcess, self.process),
            3,
            session="s",
            epoch=1,
            listener=self.listener,
            on_gone=self.gone.set,
        )
        self.socket.taken = True

    async def until_gone(self) -> None:
        await asyncio.wait_for(self.gone.wait(), 5)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.socket.abandon()
    await made.until_gone()


def write(number: int, **values: str | None) -> Message:
    return {"id": f"b{number}", "op": "keys-set", "socket": 3, "values": values}


async def test_writes_are_answered_in_order_and_before_the_end_is_told(bench: Bench) -> None:
    bench.listener.gate.clear()
    for message in (write(1, a="1"), PAIRED, write(2, a="2", b="2"), write(3, a=None), CLOSED):
        bench.socket.receive(message)
    await asyncio.wait_for(bench.listener.asked.wait(), 5)
    assert bench.listener.heard == []
    bench.listener.gate.set()
    await bench.until_gone()
    assert bench.process.sent[:3] == [{"id": f"b{number}", "ok": True} for number in (1, 2, 3)]
    assert bench.listener.heard == [Paired("j", None, None), Closed(515, "restart")]
    assert bench.listener.auth == {"b": "2"}


async def test_reads_see_what_was_written_before(bench: Bench) -> None:
    bench.socket.receive(write(1, a="1"))
    bench.socket.receive({"id": "b2", "op": "keys-get", "socket": 3, "fields": ["a", "none"]})
    bench.socket.receive(CLOSED)
    await bench.until_gone()
    assert bench.process.sent[1] == {"id": "b2", "ok": True, "values": {"a": "1"}}


@pytest.mark.invariant("I2")
async def test_a_stale_epoch_is_answered_and_ends_it(bench: Bench) -> None:
    bench.listener.stale = True
    for message in (write(1, a="1"), write(2, a="2"), OPEN):
        bench.socket.receive(message)
    await bench.until_gone()
    assert bench.process.sent == [{"id": "b1", "ok": False, "error": "stale"}]
    assert bench.listener.heard == [Closed(None, "the epoch is stale")]
    assert bench.listener.auth == {}


async def test_keys_that_could_not_be_stored_are_refused_and_the_socket_lives(bench: Bench) -> None:
    bench.listener.error = RuntimeError("disk full")
    bench.socket.receive(write(1, a="1"))
    bench.socket.receive(OPEN)
    await bench.listener.next(LoggedIn)
    assert bench.process.sent == [{"id": "b1", "ok": False, "error": "the store failed: RuntimeError"}]


async def test_credentials_that_could_not_be_stored_end_it(bench: Bench) -> None:
    bench.listener.error = RuntimeError("disk full")
    for message in (write(1, creds="{}"), PAIRED, CLOSED):
        bench.socket.receive(message)
    await bench.until_gone()
    assert bench.listener.heard == [Closed(None, "credentials could not be stored: RuntimeError")]


@pytest.mark.parametrize(
    "request_",
    [{"op": "dance"}, {"op": "keys-get"}, {"op": "keys-get", "fields": "a"}, {"op": "keys-set", "values": ["a"]}],
)
async def test_what_is_no_request_is_refused(bench: Bench, request_: Message) -> None:
    bench.socket.receive({"id": "b1", "socket": 3, **request_})
    bench.socket.receive(OPEN)
    await bench.listener.next(LoggedIn)
    assert bench.process.sent == [{"id": "b1", "ok": False, "error": "unknown request"}]


async def test_a_listener_that_raises_does_not_stop_the_socket(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(event: object) -> None:
        raise RuntimeError("bug")

    with monkeypatch.context() as patch:
        patch.setattr(bench.listener, "on_event", refuse)
        bench.socket.receive(OPEN)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    bench.socket.receive(CLOSED)
    assert await bench.listener.next(Closed) == Closed(515, "restart")


@pytest.mark.invariant("I8")
async def test_a_code_that_waited_has_less_time_left(bench: Bench) -> None:
    bench.listener.gate.clear()
    bench.socket.receive(write(1, a="1"))
    bench.socket.receive({**QR, "ttl_ms": 10_000})
    bench.socket.receive({**QR, "ttl_ms": 20, "number": 2})
    await asyncio.sleep(0.1)  # the time that passes is what is tested
    bench.listener.gate.set()
    bench.socket.receive(CLOSED)
    await bench.until_gone()
    qr, closed = bench.listener.heard
    assert isinstance(qr, QrOffered)
    assert 9_000 < qr.ttl_ms <= 9_900
    assert closed == Closed(515, "restart"), "the code that expired while it waited is not told"


async def test_after_close_nothing_is_told_but_what_was_written_is_stored(bench: Bench) -> None:
    bench.listener.gate.clear()
    for message in (write(1, a="1"), OPEN, CLOSED):
        bench.socket.receive(message)
    closing = asyncio.create_task(bench.socket.close())
    await asyncio.wait_for(bench.listener.asked.wait(), 5)
    bench.listener.gate.set()
    await closing
    assert bench.listener.heard == []
    assert bench.listener.auth == {"a": "1"}
    assert bench.gone.is_set()


async def test_close_is_bounded_when_bridge_and_store_hang(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridged, "CLOSE_S", 0.05)
    monkeypatch.setattr(bridged, "DRAIN_S", 0.05)
    bench.process.hangs = True
    bench.listener.gate.clear()
    bench.socket.receive(write(1, a="1"))
    await asyncio.wait_for(bench.socket.close(), 2)
    await bench.until_gone()
    assert bench.listener.auth == {}


async def test_close_from_within_the_listener_does_not_wait_for_itself(bench: Bench) -> None:
    async def write_auth(values: Mapping[str, str | None]) -> None:
        await asyncio.wait_for(bench.socket.close(), 1)

    bench.listener.write_auth = write_auth  # type: ignore[method-assign]
    bench.socket.receive(write(1, a="1"))
    bench.socket.receive(CLOSED)
    await bench.until_gone()
    assert bench.listener.heard == []


async def test_logout_that_is_not_answered_raises_and_drops_the_socket(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridged, "LOGOUT_S", 0.05)
    bench.process.hangs = True
    with pytest.raises(EngineError):
        await bench.socket.logout()
    await bench.until_gone()
    assert bench.process.sent[-1] == {"id": 0, "op": "close", "session": "s", "epoch": 1, "socket": 3}
    assert await bench.socket.logout() is False


async def test_a_dead_process_is_told_after_what_it_said(bench: Bench) -> None:
    bench.socket.receive(write(1, a="1"))
    bench.socket.receive(OPEN)
    bench.process.dead = True
    bench.socket.lost("the bridge process died")
    await bench.until_gone()
    assert bench.listener.heard == [LoggedIn("j", None, None), Closed(None, "the bridge process died")]
    assert bench.listener.auth == {"a": "1"}
    with pytest.raises(EngineError):
        await bench.socket.pairing_code("491701234567")


async def test_a_process_that_dies_before_it_took_the_socket_on_is_not_heard_of(bench: Bench) -> None:
    bench.socket.taken = False
    bench.socket.lost("the bridge process died")
    bench.socket.receive(OPEN)
    await bench.listener.next(LoggedIn)


async def test_a_socket_that_floods_is_dropped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridged, "MAX_WAITING", 50)
    bench.listener.gate.clear()
    for number in range(200):
        bench.socket.receive(write(number, a="1"))
    await bench.until_gone()
    assert bench.listener.heard == [Closed(None, "the socket sent more than the store could take")]
    assert [message["op"] for message in bench.process.sent] == ["close"]
