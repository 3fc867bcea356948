"""What one client may have under way, and what waits for it."""

import asyncio
import time
from typing import Any

import pytest

from app.realtime import clients
from app.realtime.clients import Client


class Transport:
    """Takes events only while `open` is set."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.taken: asyncio.Queue[str] = asyncio.Queue()
        self.cuts = 0

    async def emit(self, name: str, data: dict[str, Any]) -> None:
        await self.open.wait()
        self.taken.put_nowait(name)

    def cut(self) -> None:
        self.cuts += 1


async def test_events_go_out_in_order_as_the_client_takes_them() -> None:
    transport = Transport()
    client = Client("c", transport.emit, transport.cut)
    client.push("a", {})
    await client.send("b", {})
    assert transport.taken.empty()
    transport.open.set()
    await client.send("c", {})
    assert (await transport.taken.get(), await transport.taken.get(), await transport.taken.get()) == ("a", "b", "c")
    await close(client)


async def test_one_that_takes_nothing_is_cut_off_when_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "OUTBOX", 10)
    transport = Transport()
    client = Client("c", transport.emit, transport.cut)
    await asyncio.sleep(0)
    client.push("taken by the sender", {})
    await asyncio.sleep(0)
    for _ in range(10):
        client.push("waits", {})
    assert transport.cuts == 0
    client.push("one too many", {})
    assert transport.cuts == 1
    await close(client)


async def test_whoever_waits_for_room_need_not_wait_for_one_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "OUTBOX", 1)
    transport = Transport()
    client = Client("c", transport.emit, transport.cut)
    waiting = [asyncio.create_task(client.send("x", {})) for _ in range(5)]
    await asyncio.sleep(0)
    await close(client)
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    await asyncio.wait_for(client.send("y", {}), 5)


async def test_a_burst_is_free_and_more_is_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    transport = Transport()
    client = Client("c", transport.emit, transport.cut)
    assert [client.delay() for _ in range(int(clients.BURST))] == [0.0] * int(clients.BURST)
    assert client.delay() == pytest.approx(1 / clients.RATE)
    assert client.delay() == pytest.approx(2 / clients.RATE)
    now += 1
    assert client.delay() == 0.0
    await close(client)


async def close(client: Client) -> None:
    client.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
