"""One session on the replica that owns it: what it does with what its socket, its callers and the clock say."""

import time
from collections.abc import Awaitable, Callable

import pytest

from app.engine.base import Closed, LoggedIn, PasskeyDemanded, QrOffered
from app.engine.memory import RESTART_REQUIRED, MemoryEngine
from app.lifespan import running
from app.model import Event, Intent, Record, Status
from app.sessions import runner, watcher
from app.sessions.policy import MAX_RESTARTS, MAX_UNLINKED_RETRIES
from app.sessions.reasons import Reason
from app.settings import Settings
from tests.support.memory_world import MemoryWorld
from tests.support.redis_server import RedisServer
from tests.support.world import eventually, fast_settings, stretched


def stored(world: MemoryWorld, session: str, field: str) -> str | None:
    """A field of the auth state, hash layout."""
    auth = world.behind.auth(session).get(f"relink:{{{session}}}:auth", {})
    assert isinstance(auth, dict)
    return auth.get(field)


class TestLastWrites:
    """What a socket wrote before it is closed in an orderly way is kept: it may be the state of a conversation."""

    async def test_of_a_stop(self, world: MemoryWorld) -> None:
        await world.link()
        world.engine.sockets["a"].tell(*({"session-1.0": str(n)} for n in range(100)))
        await world.service.stop("a")
        assert stored(world, "a", "session-1.0") == "99"

    async def test_of_a_handover(self, settings: Settings, engine: MemoryEngine, redis: RedisServer) -> None:
        async with running(settings, make_engine=lambda _: engine) as relink:
            world = MemoryWorld(relink, engine, redis)
            await world.link()
            world.engine.sockets["a"].tell(*({"session-1.0": str(n)} for n in range(100)))
        assert stored(world, "a", "session-1.0") == "99"

    @pytest.mark.invariant("I3")
    async def test_of_a_reset_are_not(self, world: MemoryWorld) -> None:
        await world.link()
        socket = world.engine.sockets["a"]
        socket.tell(*({"session-1.0": str(n)} for n in range(100)))
        await world.service.force_reset("a")
        assert world.behind.auth("a") == {}
        await eventually(lambda: "a" not in world.relink.supervisor.sessions)
        assert world.behind.auth("a") == {}


async def to_starting(world: MemoryWorld) -> None:
    world.engine.silent = True
    await world.service.start("a")


async def to_qr(world: MemoryWorld) -> None:
    await world.service.generate_qr("a")
    world.engine.sockets["a"].tell(QrOffered("the last one", 100, 2, 6))


async def to_linking(world: MemoryWorld) -> None:
    code = await world.service.generate_qr("a")
    world.engine.silent = True
    await world.engine.scan(code.text)


async def to_connecting(world: MemoryWorld) -> None:
    await world.link()
    await world.service.stop("a")
    world.engine.silent = True
    await world.service.start("a")


async def to_reconnecting(world: MemoryWorld) -> None:
    jid = await world.link()
    await world.engine.close_device(jid)


Bring = Callable[[MemoryWorld], Awaitable[None]]


@pytest.mark.invariant("I9")
class TestDeadlines:
    """Nothing waits for ever, whatever WhatsApp leaves unsaid."""

    @pytest.fixture
    def settings(self, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
        monkeypatch.setattr(watcher, "QR_GRACE_MS", 200)
        return fast_settings(redis, start_timeout=0.3, link_timeout=0.3, connect_timeout=0.3)

    @pytest.mark.parametrize(
        ("bring", "waits", "then", "reason"),
        [
            (to_starting, Status.STARTING, Status.FAILED, Reason.NO_QR),
            (to_qr, Status.QR, Status.FAILED, Reason.QR_EXPIRED),
            (to_linking, Status.LINKING, Status.RECONNECTING, Reason.LINK_TIMEOUT),
            (to_connecting, Status.CONNECTING, Status.RECONNECTING, Reason.CONNECT_TIMEOUT),
            (to_reconnecting, Status.RECONNECTING, Status.CONNECTING, None),
        ],
        ids=lambda value: value.value if isinstance(value, Status) else "",
    )
    async def test_each_waiting_status_is_left(
        self, world: MemoryWorld, bring: Bring, waits: Status, then: Status, reason: Reason | None
    ) -> None:
        await bring(world)
        await world.until("a", then, Status.CONNECTED)
        entries = await world.service.timeline("a")
        left = [entry for entry in entries if entry.from_status is waits and entry.to_status is not waits][-1]
        assert left.to_status is then
        if reason is not None:
            assert left.reason == reason

    async def test_a_waiting_status_always_names_its_end(self, world: MemoryWorld) -> None:
        """The record itself says when it will be left: whoever takes it over can hold it to that."""
        await to_linking(world)
        for status in (Status.LINKING, Status.RECONNECTING, Status.CONNECTING):
            record = await world.until("a", status)
            assert record.deadline_at is not None or record.retry_at is not None

    async def test_what_was_given_up_is_closed(self, world: MemoryWorld) -> None:
        await to_starting(world)
        await world.until("a", Status.FAILED)
        await eventually(lambda: not world.engine.sockets)


class TestLogout:
    @pytest.fixture
    def settings(self, redis: RedisServer) -> Settings:
        return fast_settings(redis, backoff_base=3_600, backoff_cap=3_600)

    @pytest.mark.invariant("I6")
    async def test_while_the_next_try_is_an_hour_away(self, world: MemoryWorld) -> None:
        jid = await world.link()
        await world.engine.close_device(jid, Closed(503, ""))
        waiting = await world.until("a", Status.RECONNECTING)
        assert waiting.retry_at is not None
        answer = await world.service.logout("a")
        assert answer.unlinked
        assert world.engine.unlinked == [jid]

    @pytest.mark.invariant("I6")
    async def test_of_a_session_that_cannot_connect_keeps_trying_until_its_deadline(self, world: MemoryWorld) -> None:
        await world.link()
        await world.service.stop("a")
        world.engine.login_code = 503
        opens = world.engine.counts["opens"]
        answer = await world.service.logout("a")
        assert (answer.unlinked, answer.record.reason) == (False, Reason.API_LOGOUT_UNCONFIRMED)
        assert 2 <= world.engine.counts["opens"] - opens <= 30

    @pytest.mark.parametrize("code", [403, 405, 440])
    async def test_of_a_session_that_whatsapp_turns_away_for_good_ends_at_once(
        self, world: MemoryWorld, code: int
    ) -> None:
        await world.link()
        await world.service.stop("a")
        world.engine.login_code = code
        began = time.monotonic()
        answer = await world.service.logout("a")
        assert time.monotonic() - began < stretched(1)
        assert (answer.unlinked, answer.record.reason) == (False, Reason.API_LOGOUT_UNCONFIRMED)


class TestEngineTrouble:
    async def test_a_hung_engine_ends_a_start_in_bounded_tries(self, world: MemoryWorld) -> None:
        world.engine.hung = True
        await world.service.start("a")
        record = await world.until("a", Status.FAILED)
        assert record.reason == Reason.NO_QR
        assert world.engine.counts["opens"] == 1 + MAX_UNLINKED_RETRIES

    async def test_a_hung_engine_delays_a_linked_session(self, world: MemoryWorld) -> None:
        jid = await world.link()
        world.engine.hung = True
        await world.engine.die()
        record = await world.until("a", Status.RECONNECTING)
        record = await world.until("a", Status.RECONNECTING, after=record.seq)
        assert record.reason == Reason.ENGINE
        world.engine.hung = False
        assert (await world.until("a", Status.CONNECTED)).jid == jid

    async def test_a_bug_in_one_runner_is_contained_and_mended(
        self, world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.link("b")

        def broken(record: Record, event: QrOffered) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(watcher, "on_qr", broken)
            await world.service.start("a")
            await eventually(lambda: not world.engine.sockets.get("a") and world.engine.counts["opens"] == 3)
        assert (await world.service.get("b")).status is Status.CONNECTED
        assert (await world.until("a", Status.QR)).qr is not None


class TestStaleness:
    @pytest.mark.invariant("I2")
    async def test_another_owner_ends_the_socket_without_unlinking(self, world: MemoryWorld) -> None:
        jid = await world.link()
        record = await world.service.get("a")
        await world.relink.store.claim(
            "a", expected_owner=record.owner, expected_epoch=record.epoch, owner="other", deadline_in_ms=10_000
        )
        await eventually(lambda: "a" not in world.relink.supervisor.sessions and not world.engine.sockets)
        assert world.engine.unlinked == []
        assert jid in world.engine.devices

    @pytest.mark.invariant("I2")
    async def test_a_write_after_another_took_over_changes_nothing(self, world: MemoryWorld) -> None:
        await world.link()
        record = await world.service.get("a")
        socket = world.engine.sockets["a"]
        socket.tell(*({"session-1.0": str(n)} for n in range(1_000)))
        await world.relink.store.claim(
            "a", expected_owner=record.owner, expected_epoch=record.epoch, owner="other", deadline_in_ms=10_000
        )
        held = world.behind.digest("a")
        await eventually(lambda: "a" not in world.relink.supervisor.sessions)
        assert world.behind.digest("a") == held

    async def test_events_of_a_socket_that_was_given_up_are_not_heard(self, world: MemoryWorld) -> None:
        await world.service.generate_qr("a")
        old = world.engine.sockets["a"]
        listener = old._listener
        await world.service.force_reset("a")
        await world.service.generate_qr("a")
        before = await world.service.get("a")
        listener.on_event(LoggedIn("1@s.whatsapp.net", None, None))
        listener.on_event(PasskeyDemanded())
        listener.on_event(Closed(401, ""))
        assert await world.service.get("a") == before

    @pytest.mark.invariant("I4")
    async def test_a_reset_that_this_replica_did_not_hear_of_stops_the_next_socket(
        self, world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its record is old: the store's fence is asked before every socket."""
        jid = await world.link()
        monkeypatch.setattr(runner.Runner, "poke", lambda *_: None)
        await world.relink.store.reset("a")
        opens = world.engine.counts["opens"]
        await world.engine.close_device(jid, RESTART_REQUIRED)
        await eventually(lambda: "a" not in world.relink.supervisor.sessions)
        assert world.engine.counts["opens"] == opens


class TestRestarts:
    async def test_restart_required_without_end_is_slowed_down(self, world: MemoryWorld) -> None:
        jid = await world.link()
        world.engine.login_code = 515
        await world.engine.close_device(jid, RESTART_REQUIRED)
        record = await world.until("a", Status.RECONNECTING)
        assert record.reason == Reason.UNEXPECTED_CLOSE
        restarts = [entry for entry in await world.service.timeline("a") if entry.event is Event.RESTART]
        assert len(restarts) == 1 + MAX_RESTARTS
        world.engine.login_code = None
        assert (await world.until("a", Status.CONNECTED)).attempt == 0

    async def test_a_server_that_drops_each_login_is_tried_ever_more_slowly(self, world: MemoryWorld) -> None:
        """A connection that lasted a moment does not end the count of failed attempts."""
        jid = await world.link()
        attempts = []
        for _ in range(4):
            before = await world.service.get("a")
            await world.engine.close_device(jid)
            attempts.append((await world.until("a", Status.RECONNECTING, after=before.seq)).attempt)
            await world.until("a", Status.CONNECTED, after=before.seq)
        assert attempts == [1, 2, 3, 4]


async def test_a_passkey_is_no_reason_to_throw_a_link_away(world: MemoryWorld) -> None:
    await world.link()
    before = await world.service.get("a")
    world.engine.sockets["a"].tell(PasskeyDemanded())
    await world.engine.sockets["a"].settled()
    assert await world.service.get("a") == before
    await world.service.stop("a")
    assert world.behind.auth("a") != {}


class TestIntents:
    @pytest.mark.parametrize("bring", [to_starting, to_qr, to_linking, to_connecting, to_reconnecting])
    async def test_stop_ends_every_running_status(self, world: MemoryWorld, bring: Bring) -> None:
        await bring(world)
        record = await world.service.stop("a")
        linked = bring not in (to_starting, to_qr)
        assert record.status is (Status.STOPPED if linked else Status.IDLE)
        assert (record.intent, record.deadline_at, record.retry_at) == (None, None, None)
        assert bool(world.behind.auth("a")) is linked
        assert world.engine.sockets == {}

    async def test_a_logout_replaces_a_stop_but_not_the_other_way_round(self, world: MemoryWorld) -> None:
        await world.link()
        record = await world.relink.store.request("a", Intent.LOGOUT, deadline_in_ms=60_000)
        assert record is not None
        assert record.intent is Intent.LOGOUT
        await world.service.stop("a")
        assert (await world.until("a", Status.LOGGED_OUT)).intent is None
