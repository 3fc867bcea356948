"""The use cases, over real Redis and the engine in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from app.engine.base import QrOffered
from app.engine.memory import MemoryEngine
from app.errors import AlreadyLinked, InvalidSessionId, NoCapacity, NoQrCode, QrTimeout, SessionFailed, SessionNotFound
from app.lifespan import Relink
from app.model import Event, Intent, Record, Status
from app.sessions import service as service_module
from app.sessions.reasons import Reason
from app.settings import Settings
from tests.support.memory_world import MemoryWorld
from tests.support.redis_server import RedisServer
from tests.support.world import eventually, fast_settings

Call = Callable[[str], Awaitable[object]]

BAD_IDS = ["", " ", "-a", "a b", "a}", "{a", "a:b", "a*", "é", "a" * 65, "a\n", "a/b"]


def everything(redis: RedisServer) -> dict[str, str]:
    """All that lies in Redis but the heartbeat, by key."""
    with redis.client() as client:
        names = [str(name) for name in client.scan_iter("*") if ":worker:" not in str(name) or "sessions" in str(name)]
        return {name: repr(client.dump(name)) for name in names}


class TestIds:
    @pytest.mark.invariant("I11")
    @pytest.mark.parametrize("id", BAD_IDS)
    async def test_what_is_no_id_changes_nothing(self, world: MemoryWorld, redis: RedisServer, id: str) -> None:
        service = world.service
        before = everything(redis)
        acting: list[Call] = [service.start, service.generate_qr, service.stop, service.logout, service.force_reset]
        for call in [*acting, service.delete, service.get, service.current_qr, service.timeline]:
            with pytest.raises(InvalidSessionId):
                await call(id)
        assert everything(redis) == before

    @pytest.mark.invariant("I11")
    async def test_a_session_that_does_not_exist_is_not_made_by_asking_after_it(
        self, world: MemoryWorld, redis: RedisServer
    ) -> None:
        service = world.service
        before = everything(redis)
        calls: list[Call] = [service.stop, service.logout, service.force_reset, service.delete, service.get]
        for call in [*calls, service.current_qr, service.timeline, service.timeline_tail]:
            with pytest.raises(SessionNotFound, match="nobody"):
                await call("nobody")
        with pytest.raises(SessionNotFound):
            await anext(service.follow("nobody"))
        assert everything(redis) == before

    async def test_default_exists_from_the_start(self, world: MemoryWorld) -> None:
        assert (await world.service.get("default")).status is Status.IDLE

    async def test_default_can_be_reset_even_after_it_was_deleted(self, world: MemoryWorld) -> None:
        await world.service.delete("default")
        assert (await world.service.force_reset("default")).status is Status.IDLE


class TestGenerateQr:
    @pytest.mark.invariant("I8")
    async def test_a_code_that_has_expired_is_never_handed_out(self, world: MemoryWorld) -> None:
        """Not by generate_qr, which waits for the next one, not by current_qr, and not in the record."""
        await world.service.generate_qr("a")
        before = await world.service.get("a")
        world.engine.sockets["a"].tell(QrOffered("short-lived", 300, 2, 6))
        short = await world.until("a", Status.QR, after=before.seq)
        assert short.qr == "short-lived"
        expires_at = short.qr_expires_at
        assert expires_at is not None
        assert (await world.service.current_qr("a")).text == "short-lived"
        await eventually(lambda: world.behind.now() >= expires_at)
        assert (await world.service.get("a")).qr is None
        with pytest.raises(NoQrCode, match="expired") as none:
            await world.service.current_qr("a")
        assert none.value.next_action == "wait"
        waiting = asyncio.create_task(world.service.generate_qr("a"))
        world.engine.sockets["a"].tell(QrOffered("fresh", 60_000, 3, 6))
        assert (await waiting).text == "fresh"

    async def test_several_callers_get_the_same_code(self, world: MemoryWorld) -> None:
        codes = await asyncio.gather(*(world.service.generate_qr("a") for _ in range(5)))
        assert len({code.qr_id for code in codes}) == 1
        assert world.engine.counts["registrations"] == 1

    async def test_a_linked_session_needs_none(self, world: MemoryWorld) -> None:
        await world.link()
        with pytest.raises(AlreadyLinked) as linked:
            await world.service.generate_qr("a")
        assert linked.value.next_action == "logout"
        await world.service.stop("a")
        with pytest.raises(AlreadyLinked):
            await world.service.generate_qr("a")

    async def test_no_code_in_time(self, world: MemoryWorld) -> None:
        world.engine.silent = True
        with pytest.raises(QrTimeout):
            await world.service.generate_qr("a", wait=0.1)
        assert (await world.service.get("a")).status is Status.STARTING

    async def test_a_failure_while_it_waits_says_why(self, world: MemoryWorld) -> None:
        world.engine.hung = True
        with pytest.raises(SessionFailed, match="gave no QR code") as failed:
            await world.service.generate_qr("a", wait=10)
        assert failed.value.next_action == "start"

    @pytest.mark.parametrize("end", [Status.IDLE, Status.LOGGED_OUT])
    async def test_after_the_end_of_a_link_it_starts_anew(self, world: MemoryWorld, end: Status) -> None:
        jid = await world.link()
        await (world.service.force_reset("a") if end is Status.IDLE else world.engine.phone_logout(jid))
        await world.until("a", end)
        assert (await world.service.generate_qr("a")).attempt == 1

    async def test_a_link_that_failed_is_not_thrown_away(self, world: MemoryWorld) -> None:
        await world.link()
        await world.service.stop("a")
        world.engine.login_code = 403
        await world.service.start("a")
        await world.until("a", Status.FAILED)
        with pytest.raises(AlreadyLinked) as linked:
            await world.service.generate_qr("a")
        assert linked.value.next_action == "check_phone"
        assert world.behind.auth("a") != {}


class TestFollow:
    async def test_it_replays_then_follows_each_once(self, world: MemoryWorld) -> None:
        await world.service.generate_qr("a")
        seen: list[int] = []
        async with aclosing(world.service.follow("a", after=1)) as updates:
            async for update in updates:
                assert update.record is not None
                seen += [entry.seq for entry in update.transitions]
                assert seen[-1] == update.record.seq
                if update.record.seq >= 10:
                    break
                await world.service.force_reset("a")
        assert seen == list(range(2, seen[-1] + 1))

    async def test_from_now_on(self, world: MemoryWorld) -> None:
        await world.service.generate_qr("a")
        async with aclosing(world.service.follow("a")) as updates:
            first = await anext(updates)
            assert first.transitions == []
            await world.service.force_reset("a")
            assert [entry.event for entry in (await anext(updates)).transitions] == [Event.RESET]

    async def test_a_number_from_the_future_is_taken_for_now(self, world: MemoryWorld) -> None:
        async with aclosing(world.service.follow("default", after=10_000)) as updates:
            assert (await anext(updates)).transitions == []
            await world.service.force_reset("default")
            assert [entry.seq for entry in (await anext(updates)).transitions] == [2]

    async def test_it_ends_with_the_session(self, world: MemoryWorld) -> None:
        async with aclosing(world.service.follow("default")) as updates:
            await anext(updates)
            await world.service.delete("default")
            assert (await anext(updates)).record is None
            with pytest.raises(StopAsyncIteration):
                await anext(updates)
        assert world.relink.hub.watched() == set()

    async def test_a_lost_notice_costs_time_and_nothing_else(
        self, world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service_module, "LOOK_AGAIN_S", 0.2)
        async with aclosing(world.service.follow("default")) as updates:
            await anext(updates)
            monkeypatch.setattr(world.relink.hub, "publish", lambda _: None)
            await world.service.force_reset("default")
            assert [entry.event for entry in (await anext(updates)).transitions] == [Event.RESET]


class TestWithoutOwner:
    """The owner is frozen: what was asked is done without it, in bounded time."""

    @pytest.fixture
    def settings(self, redis: RedisServer) -> Settings:
        return fast_settings(redis, stop_timeout=0.2, logout_timeout=0.2)

    async def owned_by_nobody_here(self, world: MemoryWorld) -> Record:
        """A linked session whose owner never stirs."""
        await world.link()
        record = await world.service.get("a")
        claimed = await world.relink.store.claim(
            "a", expected_owner=record.owner, expected_epoch=record.epoch, owner="frozen", deadline_in_ms=60_000
        )
        assert isinstance(claimed, Record)
        await eventually(lambda: "a" not in world.relink.supervisor.sessions)
        return claimed

    async def test_stop(self, world: MemoryWorld) -> None:
        before = await self.owned_by_nobody_here(world)
        record = await world.service.stop("a")
        assert (record.status, record.reason, record.owner) == (Status.STOPPED, Reason.STOP_REQUESTED, "")
        assert record.epoch > before.epoch, "the owner is fenced: it may only be asleep"
        assert world.behind.auth("a") != {}

    @pytest.mark.invariant("I6")
    async def test_logout(self, world: MemoryWorld) -> None:
        await self.owned_by_nobody_here(world)
        answer = await world.service.logout("a")
        assert (answer.unlinked, answer.was_linked) == (False, True)
        assert answer.record.reason == Reason.API_LOGOUT_UNCONFIRMED
        assert world.behind.auth("a") == {}

    @pytest.mark.invariant("I5")
    async def test_force_reset(self, world: MemoryWorld) -> None:
        await self.owned_by_nobody_here(world)
        assert (await world.service.force_reset("a")).status is Status.IDLE
        assert world.behind.auth("a") == {}
        assert (await world.service.generate_qr("a")).text


class TestRaces:
    async def test_a_logout_that_meets_a_reset_on_its_way(
        self, world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.link()
        request = world.relink.store.request

        async def after_a_reset(id: str, intent: Intent, *, deadline_in_ms: int) -> Record | None:
            await world.relink.store.reset(id)
            return await request(id, intent, deadline_in_ms=deadline_in_ms)

        monkeypatch.setattr(
            type(world.relink.store), "request", lambda _, *args, **named: after_a_reset(*args, **named)
        )
        answer = await world.service.logout("a")
        assert (answer.record.status, answer.record.intent, answer.unlinked) == (Status.IDLE, None, False)

    async def test_deleting_while_a_logout_waits(self, world: MemoryWorld) -> None:
        await world.link()
        await world.service.stop("a")
        world.engine.silent = True
        logout = asyncio.create_task(world.service.logout("a"))
        await world.until("a", Status.CONNECTING)
        await world.service.delete("a")
        with pytest.raises(SessionNotFound):
            await logout

    async def test_a_new_session_of_an_old_name_knows_nothing_of_it(self, world: MemoryWorld) -> None:
        await world.link()
        old = await world.service.get("a")
        await world.service.delete("a")
        assert world.behind.keys("a") == set()
        record = await world.service.start("a")
        assert record.epoch > old.epoch
        assert (record.jid, record.seq) == (None, 2)


class TestCapacity:
    @pytest.fixture
    def settings(self, redis: RedisServer) -> Settings:
        return fast_settings(redis, max_sessions=1)

    async def test_a_full_replica_says_so_and_changes_nothing(self, world: MemoryWorld) -> None:
        await world.service.generate_qr("a")
        with pytest.raises(NoCapacity):
            await world.service.start("b")
        with pytest.raises(SessionNotFound):
            await world.service.get("b")
        await world.service.force_reset("a")
        await eventually(lambda: not world.relink.supervisor.sessions)
        assert (await world.service.start("b")).status is Status.STARTING

    async def test_a_session_that_runs_already_takes_no_room(self, world: MemoryWorld) -> None:
        await world.service.generate_qr("a")
        assert (await world.service.start("a")).status is Status.QR


async def test_pages(world: MemoryWorld) -> None:
    for name in ("b", "c1", "c2", "c3"):
        await world.relink.store.ensure(name)
    page = await world.service.page(limit=2)
    assert ([record.id for record in page.records], page.next) == (["b", "c1"], "c1")
    page = await world.service.page(after="c1", limit=2, prefix="c")
    assert ([record.id for record in page.records], page.next) == (["c2", "c3"], "c3")
    assert await world.service.page(after="c3", prefix="c") == service_module.Page([], None)


async def test_the_engine_is_left_with_nothing(relink: Relink, engine: MemoryEngine, world: MemoryWorld) -> None:
    await world.link()
    await world.service.delete("a")
    await eventually(lambda: not engine.sockets and not relink.supervisor.sessions)
    assert engine.unlinked
