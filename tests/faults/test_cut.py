"""Connections that are cut in the middle of an answer: what was done is not done again, what was not done is."""

import pytest

from app.model import AuthLayout, Change, Event, Record, Status
from app.store.auth import RedisAuthStore
from app.store.client import connect
from app.store.keys import Keys
from app.store.sessions import SessionStore
from tests.support.cutting_proxy import CuttingProxy
from tests.support.fleet import fleet
from tests.support.redis_node import RedisNode
from tests.support.simulator import Simulator
from tests.support.witness import all_pre_keys_kept

KEYS = Keys("relink")
LIFE = [Event.CREATED, Event.START, Event.QR, Event.CLAIM, Event.LOGOUT, Event.START, Event.RESET]


async def a_life(store: SessionStore, auth: RedisAuthStore, session: str) -> None:
    started = (await store.start(session, owner="one", starting_in_ms=60_000, connecting_in_ms=60_000)).record
    offer = Change(event=Event.QR, status=Status.QR, qr_in_ms=60_000)
    shown = await store.advance(session, epoch=started.epoch, seq=started.seq, change=offer)
    assert isinstance(shown, Record)
    values: dict[str, str | None] = {"creds": "{}", "pre-key-1": "x" * 500}
    await auth.write(session, epoch=started.epoch, values=values)
    assert await auth.read(session, epoch=started.epoch, fields=list(values)) == values
    claimed = await store.claim(
        session, expected_owner="one", expected_epoch=shown.epoch, owner="two", deadline_in_ms=60_000
    )
    assert isinstance(claimed, Record)
    clear = Change(event=Event.LOGOUT, status=Status.LOGGED_OUT, clear=True)
    gone = await store.advance(session, epoch=claimed.epoch, seq=claimed.seq, change=clear)
    assert isinstance(gone, Record)
    await store.start(session, owner="one", starting_in_ms=60_000, connecting_in_ms=60_000)
    reset = await store.reset(session)
    assert reset is not None
    assert [entry.event for entry in await store.timeline(session)] == LIFE
    assert [entry.seq for entry in await store.timeline(session)] == list(range(1, len(LIFE) + 1))
    assert reset.epoch == started.epoch + 4


@pytest.mark.invariant("I7")
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_change_is_made_once(node: RedisNode, seed: int) -> None:
    async with (
        CuttingProxy(node.port, least=1, most=4_000, seed=seed) as proxy,
        connect(proxy.url, timeout=10) as client,
    ):
        store, auth = SessionStore(client, KEYS), RedisAuthStore(client, KEYS, AuthLayout.KEYS)
        for number in range(20):
            await a_life(store, auth, f"s{number}")
        assert await store.count() == 20
        for number in range(20):
            assert await store.delete(f"s{number}")
        assert await store.count() == 0
        assert proxy.cuts > 10


async def test_sessions_are_linked_all_the_same(node: RedisNode, simulator: Simulator) -> None:
    async with (
        CuttingProxy(node.port, least=100, most=30_000, seed=4) as proxy,
        fleet(proxy.url, simulator) as replicas,
    ):
        (one,) = await replicas.start(1)
        await replicas.link(["a", "b"], [one])
        await all_pre_keys_kept(replicas, simulator, ["a", "b"])
        for session in ("a", "b"):
            events = [entry.event for entry in await replicas.timeline(session)]
            assert events == [Event.CREATED, Event.START, Event.QR, Event.PAIRED, Event.RESTART, Event.OPEN]
        assert proxy.cuts > 5
