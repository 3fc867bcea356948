"""What has no end by itself hears of the end, whatever else the server does with the signal."""

import asyncio
import signal

import pytest

from app.api.errors import ServiceStopping
from app.api.stopping import Stopping


async def test_a_signal_is_heard_and_passed_on() -> None:
    passed_on = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: passed_on.append(number))
    ours = signal.getsignal(signal.SIGTERM)
    try:
        stopping = Stopping()
        with stopping.on_signals():
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(stopping.wait(), 5)
        assert passed_on == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_loops_own_handler_is_called_as_well() -> None:
    """`relink serve` listens through the event loop."""
    loop, heard, stopping = asyncio.get_running_loop(), asyncio.Event(), Stopping()
    loop.add_signal_handler(signal.SIGTERM, heard.set)
    try:
        with stopping.on_signals():
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(stopping.wait(), 5)
            await asyncio.wait_for(heard.wait(), 5)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_work_is_done_unless_the_service_stops() -> None:
    stopping = Stopping()

    async def work() -> int:
        return 7

    async def fail() -> int:
        raise KeyError("x")

    assert await stopping.unless(work()) == 7
    with pytest.raises(KeyError):
        await stopping.unless(fail())
    cancelled = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    waiting = asyncio.create_task(stopping.unless(wait()))
    await asyncio.sleep(0)
    stopping.set()
    with pytest.raises(ServiceStopping):
        await waiting
    await asyncio.wait_for(cancelled.wait(), 5)
