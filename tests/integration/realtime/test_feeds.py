"""The followers of a replica: one a session, there only while somebody listens."""

import asyncio
from typing import Any

import pytest

from app.api import news
from app.api.errors import TooManyRequests
from app.realtime import feeds as module
from app.realtime.clients import Client
from app.realtime.feeds import Feeds
from tests.support.face import Face


class Listener:
    """A client without a connection."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self.client = Client("c", self._emit, lambda: None)

    async def _emit(self, name: str, data: dict[str, Any]) -> None:
        self.heard.put_nowait((name, data))

    async def until(self, name: str) -> dict[str, Any]:
        async with asyncio.timeout(5):
            while True:
                event, data = await self.heard.get()
                if event == name:
                    return data


def followers() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("feed ")]


async def test_a_session_has_one_follower_as_long_as_anybody_listens(face: Face) -> None:
    feeds, one, two = Feeds(face.relink.service), Listener(), Listener()
    before = followers()
    for listener in (one, two):
        assert await feeds.join(listener.client, "default") is not None
        assert (await listener.until("session-status"))["id"] == "default"
    assert len(followers()) == len(before) + 1
    assert feeds.leave(one.client, "default")
    assert not feeds.leave(one.client, "default")
    await face.relink.service.force_reset("default")
    await two.until("timeline-entry")
    assert one.heard.empty()
    feeds.leave(two.client, "default")
    await feeds.close()
    assert followers() == before
    one.client.close()
    two.client.close()


async def test_one_that_goes_while_it_subscribes_leaves_nothing_behind(face: Face) -> None:
    feeds, listener = Feeds(face.relink.service), Listener()
    listener.client.close()
    await feeds.join(listener.client, "default", after=0)
    assert feeds.of(listener.client) == []
    await feeds.close()


async def test_a_follower_that_fails_goes_on_where_it_was(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)
    feeds, listener = Feeds(face.relink.service), Listener()
    await feeds.join(listener.client, "default")
    await listener.until("session-status")
    tell, failures = news.tell, [RuntimeError("a bug")]

    def failing(update: Any) -> Any:
        if failures:
            raise failures.pop()
        return tell(update)

    monkeypatch.setattr(news, "tell", failing)
    await face.relink.service.force_reset("default")
    assert (await listener.until("timeline-entry"))["seq"] == 2
    assert not failures
    await feeds.close()
    listener.client.close()


async def test_a_client_cannot_follow_without_end(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SUBSCRIPTIONS", 2)
    feeds, listener = Feeds(face.relink.service), Listener()
    for name in ("a", "b"):
        await face.relink.service.start(name)
        await feeds.join(listener.client, name)
    with pytest.raises(TooManyRequests):
        await feeds.join(listener.client, "default")
    assert feeds.of(listener.client) == ["a", "b"]
    await feeds.close()
    listener.client.close()
