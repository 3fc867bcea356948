"""Who may still write, and who may have logged in, when one socket of a session follows another."""

import pytest

from app.model import Event, Record, StaleEpoch, Status, Transition
from app.sessions import policy, watcher
from app.sessions.policy import Backoff, Fail, Lost, Retry
from app.sessions.reasons import Reason
from app.settings import Settings
from app.store.auth import RedisAuthStore
from app.store.keys import Keys
from tests.support.memory_world import MemoryWorld
from tests.support.redis_server import RedisServer
from tests.support.world import fast_settings

BACKOFF = Backoff(base_ms=1_000, cap_ms=60_000, chance=lambda: 0.5)


class TestWhatWasGivenUp:
    @pytest.fixture
    def settings(self, redis: RedisServer) -> Settings:
        return fast_settings(redis, connect_timeout=0.3, backoff_base=60, backoff_cap=60)

    @pytest.mark.invariant("I2")
    async def test_cannot_write_beside_its_successor(self, world: MemoryWorld) -> None:
        """Its last write may be on the way when the next socket has read the credentials."""
        await world.link()
        await world.service.stop("a")
        world.engine.silent = True
        given_up = await world.service.start("a")
        record = await world.until("a", Status.RECONNECTING)
        assert record.reason == Reason.CONNECT_TIMEOUT
        before = world.behind.digest("a")
        auth = RedisAuthStore(world.relink.redis, Keys("relink"), world.relink.settings.auth_layout)
        with pytest.raises(StaleEpoch):
            await auth.write("a", epoch=given_up.epoch, values={"session-1.0": "late"})
        assert world.behind.digest("a") == before


def entry(event: Event, *, epoch: int = 7, code: int | None = None, note: str | None = None) -> Transition:
    return Transition(
        seq=1, at=0, event=event, from_status=None, to_status=Status.CONNECTED, epoch=epoch, code=code, note=note
    )


TAKEN = entry(Event.CLAIM, note="from other")


@pytest.mark.parametrize(
    ("newest", "contested"),
    [
        ([TAKEN, entry(Event.OPEN)], True),
        ([TAKEN, entry(Event.OPEN), entry(Event.RECONNECT, code=428), entry(Event.OPEN)], True),
        ([TAKEN, entry(Event.OPEN), entry(Event.RECONNECT, code=440), entry(Event.OPEN)], False),
        ([entry(Event.CLAIM, note="nobody ran it"), entry(Event.OPEN)], False),
        ([entry(Event.CLAIM, epoch=6, note="from other"), entry(Event.RESUME), entry(Event.OPEN)], False),
        ([entry(Event.RESUME), entry(Event.OPEN)], False),
        ([], False),
    ],
    ids=["taken", "still", "once only", "let go", "an epoch ago", "started", "nothing known"],
)
def test_whether_the_replica_before_may_have_logged_in(newest: list[Transition], contested: bool) -> None:
    record = Record(id="a", status=Status.CONNECTED, epoch=7, seq=9, owner="me")
    assert watcher.contested(record, newest) is contested


def test_a_contested_socket_is_opened_once_more() -> None:
    lost = Lost(code=440, message="", linked=True, attempt=0, previous=None)
    assert policy.decide(lost, BACKOFF) == Fail(Reason.REPLACED, clear=False)
    contested = Lost(code=440, message="", linked=True, attempt=0, previous=None, contested=True)
    assert policy.decide(contested, BACKOFF) == Retry(Reason.REPLACED, 500, 1)
