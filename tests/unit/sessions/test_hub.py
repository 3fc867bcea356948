"""Who waits for what hears of it, once, and nobody waits longer than he said."""

import asyncio
import time

import pytest

from app.model import Status
from app.sessions.hub import Hub, Notice, Position

LONG = 10.0


async def returns(waiting: asyncio.Task[None]) -> None:
    """It does so at once."""
    async with asyncio.timeout(1):
        await waiting


async def still_waits(waiting: asyncio.Task[None]) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting})


def notice(position: Position, session: str = "a", *, deleted: bool = False) -> Notice:
    return Notice(session, position, "w", Status.QR, deleted=deleted)


async def test_something_newer_wakes() -> None:
    hub = Hub()
    with hub.watch("a") as watch:
        waiting = asyncio.create_task(watch.wait((5, 3), LONG))
        await asyncio.sleep(0)
        hub.publish(notice((5, 4)))
        await returns(waiting)


async def test_what_came_before_the_wait_counts() -> None:
    """Between reading and waiting nothing is lost."""
    hub = Hub()
    with hub.watch("a") as watch:
        hub.publish(notice((5, 4)))
        await returns(asyncio.create_task(watch.wait((5, 3), LONG)))


@pytest.mark.parametrize("position", [(5, 3), (5, 2), (4, 9)])
async def test_something_known_or_older_does_not_wake(position: Position) -> None:
    hub = Hub()
    with hub.watch("a") as watch:
        waiting = asyncio.create_task(watch.wait((5, 3), LONG))
        await asyncio.sleep(0)
        hub.publish(notice(position))
        await still_waits(waiting)


async def test_a_higher_epoch_is_newer_whatever_the_number() -> None:
    hub = Hub()
    with hub.watch("a") as watch:
        hub.publish(notice((6, 1)))
        await returns(asyncio.create_task(watch.wait((5, 3), LONG)))


async def test_another_session_does_not_wake() -> None:
    hub = Hub()
    with hub.watch("a") as watch:
        waiting = asyncio.create_task(watch.wait((5, 3), LONG))
        await asyncio.sleep(0)
        hub.publish(notice((9, 9), "b"))
        await still_waits(waiting)


async def test_a_deletion_wakes_whatever_was_seen() -> None:
    hub = Hub()
    with hub.watch("a") as watch:
        hub.publish(notice((5, 3), deleted=True))
        await returns(asyncio.create_task(watch.wait((9, 9), LONG)))


async def test_when_notices_may_be_lost_everybody_looks_once() -> None:
    hub = Hub()
    with hub.watch("a") as first, hub.watch("b") as second:
        hub.poke_all()
        await returns(asyncio.create_task(first.wait((9, 9), LONG)))
        await returns(asyncio.create_task(second.wait((9, 9), LONG)))
        await still_waits(asyncio.create_task(first.wait((9, 9), LONG)))


async def test_a_wait_ends_with_its_time() -> None:
    hub = Hub()
    with hub.watch("a") as watch:
        began = time.monotonic()
        await watch.wait((0, 0), 0.05)
        assert 0.04 < time.monotonic() - began < 1


async def test_all_who_wait_for_a_session_are_woken() -> None:
    hub = Hub()
    with hub.watch("a") as first, hub.watch("a") as second:
        hub.publish(notice((1, 1)))
        await returns(asyncio.create_task(first.wait((0, 0), LONG)))
        await returns(asyncio.create_task(second.wait((0, 0), LONG)))


def test_listeners_hear_of_every_session() -> None:
    hub, heard = Hub(), list[str]()
    hub.listen(lambda notice: heard.append(notice.session))
    hub.publish(notice((1, 1), "a"))
    hub.publish(notice((1, 1), "b"))
    assert heard == ["a", "b"]


def test_who_no_longer_waits_is_forgotten() -> None:
    hub = Hub()
    with hub.watch("a"), hub.watch("a"):
        assert hub.watched() == {"a"}
    assert hub.watched() == set()
