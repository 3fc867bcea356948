"""The registry lies in another slot than the sessions; whatever the order of things, no session is missing from it."""

import asyncio
from typing import Any

import pytest

from app.store.client import RedisClient
from app.store.keys import Keys
from app.store.sessions import SessionStore
from tests.integration.store.test_sessions import start


class Stepped:
    """A client whose every command waits until the test lets it pass."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._steps = asyncio.Semaphore(0)
        self.steps = 0

    def __getattr__(self, name: str) -> Any:
        async def step(*args: Any) -> Any:
            await self._steps.acquire()
            answer = await getattr(self._client, name)(*args)
            self.steps += 1
            return answer

        return step

    def let_pass(self) -> None:
        self._steps.release()


async def interleave(store: SessionStore, client: RedisClient, keys: Keys, order: tuple[int, ...], other: str) -> None:
    """Run a start and `other` at once, a command of the one or of the other at a time, as `order` says."""
    clients = [Stepped(client), Stepped(client)]
    stores = [SessionStore(client, keys) for client in clients]  # type: ignore[arg-type]
    both = [
        asyncio.ensure_future(start(stores[0])),
        asyncio.ensure_future(stores[1].page() if other == "page" else stores[1].delete("a")),
    ]
    for which in order:
        if both[which].done():
            continue
        before = clients[which].steps
        clients[which].let_pass()
        async with asyncio.timeout(5):
            while clients[which].steps == before and not both[which].done():  # noqa: ASYNC110 - one command, then stop
                await asyncio.sleep(0)
    for client_ in clients:
        for _ in range(20):
            client_.let_pass()
    await asyncio.gather(*both)


ORDERS = [tuple(int(bit) for bit in f"{number:08b}") for number in range(256)]


@pytest.mark.parametrize("other", ["page", "delete"])
async def test_no_interleaving_loses_a_session(
    store: SessionStore, redis_client: RedisClient, keys: Keys, other: str
) -> None:
    for order in ORDERS:
        await redis_client.execute("FLUSHDB")
        await redis_client.execute("ZADD", keys.sessions, 0, "a")  # registered, not (yet) there
        await interleave(store, redis_client, keys, order, other)
        there = await store.read("a") is not None
        registered = await redis_client.execute("ZSCORE", keys.sessions, "a") is not None
        assert registered or not there, order
