"""What each script of a session does, and refuses to do."""

import asyncio

import pytest

from app.model import CLEARED, RUNNING, Change, Event, Intent, Record, StaleEpoch, Status
from app.store.auth import RedisAuthStore
from app.store.client import RedisClient, ScriptRefused
from app.store.keys import Keys
from app.store.sessions import Conflict, SessionStore, Stale
from tests.support.keys import all_keys


async def start(store: SessionStore, id: str = "a", owner: str = "w1") -> Record:
    return (await store.start(id, owner=owner, starting_in_ms=30_000, connecting_in_ms=20_000)).record


async def advance(store: SessionStore, record: Record, event: Event, status: Status, **change: object) -> Record:
    after = await store.advance(
        record.id,
        epoch=record.epoch,
        seq=record.seq,
        change=Change(event=event, status=status, **change),  # type: ignore[arg-type]
    )
    assert isinstance(after, Record)
    return after


async def link(store: SessionStore, auth_store: RedisAuthStore, id: str = "a") -> Record:
    record = await start(store, id)
    await auth_store.write(id, epoch=record.epoch, values={"creds": "{}", "pre-key-1": "1", "session-x.0": "2"})
    record = await advance(store, record, Event.QR, Status.QR, set={"qr": "QR", "qr_id": "q1"}, qr_in_ms=60_000)
    record = await advance(store, record, Event.PAIRED, Status.LINKING, set={"jid": "1@s"}, deadline_in_ms=60_000)
    return await advance(store, record, Event.OPEN, Status.CONNECTED, set={"jid": "1@s", "name": "N"})


async def session_keys(client: RedisClient) -> set[str]:
    return await all_keys(client, "*{*")


async def test_unknown_session_reads_as_none(store: SessionStore) -> None:
    assert await store.read("nobody") is None
    assert await store.read_many(["nobody", "none"]) == [None, None]
    assert await store.timeline("nobody") == []


async def test_ensure_creates_once(store: SessionStore) -> None:
    record = await store.ensure("a")
    assert (record.status, record.seq, record.owner) == (Status.IDLE, 1, "")
    assert await store.ensure("a") == record
    assert [entry.event for entry in await store.timeline("a")] == [Event.CREATED]
    assert await store.page() == ["a"]


async def test_new_epoch_is_the_clock(store: SessionStore) -> None:
    record = await store.ensure("a")
    reading = await store.read("a")
    assert reading is not None
    assert record.created_at <= reading.now < record.created_at + 5_000
    assert record.epoch // 1_000 == record.created_at


async def test_start_creates_and_starts(store: SessionStore) -> None:
    started = await store.start("a", owner="w1", starting_in_ms=30_000, connecting_in_ms=20_000, note="by api")
    record = started.record
    assert started.fresh
    assert (record.status, record.owner, record.seq) == (Status.STARTING, "w1", 2)
    assert record.deadline_at is not None
    assert record.deadline_at - record.updated_at == 30_000
    entries = await store.timeline("a")
    assert [(entry.event, entry.from_status, entry.to_status) for entry in entries] == [
        (Event.CREATED, None, Status.IDLE),
        (Event.START, Status.IDLE, Status.STARTING),
    ]
    assert entries[1].note == "by api"
    assert entries[1].owner == "w1"


async def test_start_of_a_live_session_changes_nothing(store: SessionStore) -> None:
    record = await start(store)
    again = await store.start("a", owner="w2", starting_in_ms=1, connecting_in_ms=1)
    assert not again.fresh
    assert again.record == record
    assert len(await store.timeline("a")) == 2


async def test_start_with_credentials_resumes(store: SessionStore, auth_store: RedisAuthStore) -> None:
    record = await link(store, auth_store)
    stopped = await advance(store, record, Event.STOP, Status.STOPPED)
    assert stopped.owner == ""
    await store.request("a", Intent.LOGOUT, deadline_in_ms=1_000)
    resumed = await start(store, owner="w2")
    assert (resumed.status, resumed.owner, resumed.epoch) == (Status.CONNECTING, "w2", record.epoch + 1)
    assert (resumed.intent, resumed.intent_deadline_at, resumed.jid) == (None, None, "1@s")
    assert resumed.deadline_at == resumed.updated_at + 20_000
    assert await auth_store.read("a", epoch=resumed.epoch, fields=["creds"]) == {"creds": "{}"}


async def test_start_while_reconnecting_goes_on_at_once(store: SessionStore, auth_store: RedisAuthStore) -> None:
    record = await link(store, auth_store)
    waiting = await advance(
        store, record, Event.RECONNECT, Status.RECONNECTING, retry_in_ms=60_000, set={"attempt": 3}, code=428
    )
    assert waiting.retry_at == waiting.updated_at + 60_000
    resumed = await start(store, owner="w2")
    assert (resumed.status, resumed.epoch, resumed.attempt) == (Status.CONNECTING, waiting.epoch + 1, 3)
    assert (resumed.retry_at, resumed.code, resumed.owner) == (None, None, "w2")
    assert (await store.timeline_tail("a", limit=1))[0].event is Event.RESUME


async def test_start_without_credentials_removes_leftovers(
    store: SessionStore, auth_store: RedisAuthStore, redis_client: RedisClient
) -> None:
    record = await start(store)
    await auth_store.write("a", epoch=record.epoch, values={"pre-key-1": "1", "pre-key-2": "2"})
    record = await advance(store, record, Event.FAIL, Status.FAILED, reason="no_qr", set={"attempt": 3, "qr_count": 6})
    assert record.reason == "no_qr"
    again = await start(store)
    assert (again.status, again.attempt, again.qr_count, again.reason) == (Status.STARTING, 0, 0, None)
    assert await session_keys(redis_client) == {"relink:{a}", "relink:{a}:timeline"}


async def test_advance_sets_times_by_the_clock_of_redis(store: SessionStore) -> None:
    record = await start(store)
    record = await advance(
        store,
        record,
        Event.QR,
        Status.QR,
        set={"qr": "text", "qr_id": "1", "qr_limit": 6},
        qr_in_ms=500,
        deadline_in_ms=900,
    )
    assert record.qr_expires_at == record.updated_at + 500
    assert record.deadline_at == record.updated_at + 900
    assert (record.qr, record.qr_limit) == ("text", 6)
    record = await advance(store, record, Event.PAIRED, Status.LINKING, deadline_in_ms=1_000)
    assert (record.qr, record.qr_id, record.qr_expires_at, record.qr_limit) == (None, None, None, None)
    record = await advance(store, record, Event.OPEN, Status.CONNECTED, set={"name": "N"}, drop=("jid",))
    assert record.connected_at == record.updated_at
    assert (record.name, record.deadline_at, record.owner) == ("N", None, "w1")


@pytest.mark.invariant("I2")
async def test_advance_under_another_epoch_or_seq_changes_nothing(store: SessionStore) -> None:
    record = await start(store)
    change = Change(event=Event.QR, status=Status.QR, qr_in_ms=1_000)
    assert await store.advance("a", epoch=record.epoch - 1, seq=record.seq, change=change) == Stale()
    assert await store.advance("a", epoch=record.epoch + 1, seq=record.seq, change=change) == Stale()
    assert await store.advance("nobody", epoch=1, seq=1, change=change) == Stale()
    assert await store.advance("a", epoch=record.epoch, seq=record.seq - 1, change=change) == Conflict(record)
    reading = await store.read("a")
    assert reading is not None
    assert reading.record == record
    assert await store.read("nobody") is None


async def test_clear_forgets_the_link(
    store: SessionStore, auth_store: RedisAuthStore, redis_client: RedisClient
) -> None:
    record = await link(store, auth_store)
    cleared = await advance(store, record, Event.LOGOUT, Status.LOGGED_OUT, clear=True, reason="logged_out", code=401)
    assert (cleared.epoch, cleared.cleared, cleared.owner) == (record.epoch + 1, record.epoch + 1, "")
    assert (cleared.jid, cleared.name, cleared.connected_at) == (None, None, None)
    assert (cleared.reason, cleared.code) == ("logged_out", 401)
    assert await session_keys(redis_client) == {"relink:{a}", "relink:{a}:timeline"}


async def test_bump_fences_without_clearing(store: SessionStore, auth_store: RedisAuthStore) -> None:
    record = await link(store, auth_store)
    bumped = await advance(store, record, Event.RESTART, Status.CONNECTING, bump=True, deadline_in_ms=1_000)
    assert (bumped.epoch, bumped.cleared, bumped.owner) == (record.epoch + 1, 0, "w1")
    with pytest.raises(StaleEpoch):
        await auth_store.read("a", epoch=record.epoch, fields=["creds"])
    assert await auth_store.read("a", epoch=bumped.epoch, fields=["creds"]) == {"creds": "{}"}


@pytest.mark.invariant("I11")
@pytest.mark.parametrize(
    "change",
    [
        Change(event=Event.LOGOUT, status=Status.LOGGED_OUT),  # would keep auth state
        Change(event=Event.STOP, status=Status.IDLE),
        Change(event=Event.RETRY, status=Status.STARTING, clear=True, deadline_in_ms=1),
        Change(event=Event.RESTART, status=Status.CONNECTING),  # would wait for ever
        Change(event=Event.QR, status=Status.QR, set={"qr": "text"}),  # would never expire
        Change(event=Event.OPEN, status=Status.CONNECTED, set={"qr": "text"}, qr_in_ms=1),
        Change(event=Event.OPEN, status=Status.CONNECTED, set={"epoch": 1}),
        Change(event=Event.OPEN, status=Status.CONNECTED, set={"status": "idle"}),
        Change(event=Event.OPEN, status=Status.CONNECTED, set={"owner": "w2"}),
        Change(event=Event.OPEN, status=Status.CONNECTED, set={"nonsense": "1"}),
        Change(event=Event.OPEN, status=Status.CONNECTED, set={"attempt": "many"}),
        Change(event=Event.OPEN, status=Status.CONNECTED, set={"intent": "party"}),
        Change(event=Event.OPEN, status=Status.CONNECTED, drop=("cleared",)),
        Change(event=Event.OPEN, status=Status.CONNECTED, drop=("nonsense",)),
    ],
)
async def test_a_change_that_breaks_a_rule_is_refused(
    store: SessionStore, auth_store: RedisAuthStore, change: Change
) -> None:
    record = await link(store, auth_store)
    with pytest.raises(ScriptRefused):
        await store.advance("a", epoch=record.epoch, seq=record.seq, change=change)
    reading = await store.read("a")
    assert reading is not None
    assert reading.record == record
    assert await auth_store.read("a", epoch=record.epoch, fields=["creds", "pre-key-1"]) == {
        "creds": "{}",
        "pre-key-1": "1",
    }


@pytest.mark.invariant("I4")
async def test_only_start_leaves_a_resting_status(store: SessionStore) -> None:
    record = await store.ensure("a")
    for status in RUNNING:
        with pytest.raises(ScriptRefused, match="for start alone"):
            await store.advance(
                "a",
                epoch=record.epoch,
                seq=record.seq,
                change=Change(event=Event.RESUME, status=status, deadline_in_ms=1),
            )


async def test_claim_moves_responsibility(store: SessionStore, auth_store: RedisAuthStore) -> None:
    record = await link(store, auth_store)
    await store.request("a", Intent.LOGOUT, deadline_in_ms=1_000)
    claimed = await store.claim(
        "a", expected_owner="w1", expected_epoch=record.epoch, owner="w2", deadline_in_ms=700, note="w1 is gone"
    )
    assert isinstance(claimed, Record)
    assert (claimed.status, claimed.owner, claimed.epoch) == (Status.CONNECTING, "w2", record.epoch + 1)
    assert claimed.intent is Intent.LOGOUT
    assert claimed.deadline_at == claimed.updated_at + 700
    newest = (await store.timeline_tail("a", limit=1))[0]
    assert (newest.event, newest.note) == (Event.CLAIM, "w1 is gone")


async def test_claim_without_credentials_starts_over(store: SessionStore, auth_store: RedisAuthStore) -> None:
    record = await start(store)
    await auth_store.write("a", epoch=record.epoch, values={"pre-key-1": "1"})
    claimed = await store.claim("a", expected_owner="w1", expected_epoch=record.epoch, owner="w2", deadline_in_ms=700)
    assert isinstance(claimed, Record)
    assert (claimed.status, claimed.owner) == (Status.STARTING, "w2")
    assert (await store.timeline_tail("a", limit=1))[0].event is Event.CLAIM_UNLINKED
    assert await auth_store.read("a", epoch=claimed.epoch, fields=["pre-key-1"]) == {}


async def test_claim_keeps_a_planned_retry(store: SessionStore, auth_store: RedisAuthStore) -> None:
    record = await link(store, auth_store)
    waiting = await advance(
        store, record, Event.RECONNECT, Status.RECONNECTING, retry_in_ms=9_000, set={"attempt": 2}, reason="network"
    )
    claimed = await store.claim("a", expected_owner="w1", expected_epoch=record.epoch, owner="w2", deadline_in_ms=1)
    assert isinstance(claimed, Record)
    assert (claimed.status, claimed.retry_at, claimed.attempt) == (Status.RECONNECTING, waiting.retry_at, 2)
    assert claimed.reason == "network"


async def test_claim_needs_the_expected_owner_and_epoch(store: SessionStore) -> None:
    record = await start(store)
    for owner, epoch in [("w9", record.epoch), ("", record.epoch), ("w1", record.epoch - 1)]:
        stale = await store.claim("a", expected_owner=owner, expected_epoch=epoch, owner="w2", deadline_in_ms=1)
        assert stale == Stale()
    await store.reset("a")
    stale = await store.claim("a", expected_owner="", expected_epoch=record.epoch + 1, owner="w2", deadline_in_ms=1)
    assert stale == Stale()  # idle: nothing to be responsible for
    stale = await store.claim("nobody", expected_owner="", expected_epoch=1, owner="w2", deadline_in_ms=1)
    assert stale == Stale()


async def test_a_released_session_can_be_started_and_claimed(store: SessionStore, auth_store: RedisAuthStore) -> None:
    record = await link(store, auth_store)
    released = await advance(store, record, Event.RELEASE, Status.CONNECTING, set={"owner": ""}, deadline_in_ms=1_000)
    assert released.owner == ""
    started = await store.start("a", owner="w2", starting_in_ms=1, connecting_in_ms=1)
    assert started.fresh
    assert (started.record.owner, started.record.status) == ("w2", Status.CONNECTING)
    assert (await store.timeline_tail("a", limit=1))[0].event is Event.CLAIM


@pytest.mark.invariant("I5")
async def test_reset_needs_nobody(store: SessionStore, auth_store: RedisAuthStore, redis_client: RedisClient) -> None:
    record = await link(store, auth_store)
    await store.request("a", Intent.LOGOUT, deadline_in_ms=1_000)
    reset = await store.reset("a", note="by hand")
    assert reset is not None
    assert (reset.status, reset.reason, reset.owner) == (Status.IDLE, "force_reset", "")
    assert (reset.epoch, reset.cleared) == (record.epoch + 1, record.epoch + 1)
    assert (reset.intent, reset.jid, reset.connected_at, reset.deadline_at) == (None, None, None, None)
    assert await session_keys(redis_client) == {"relink:{a}", "relink:{a}:timeline"}
    assert (await store.timeline_tail("a", limit=1))[0].note == "by hand"


async def test_reset_of_an_unknown_session(store: SessionStore) -> None:
    assert await store.reset("a") is None
    assert await store.page() == []
    created = await store.reset("a", create=True)
    assert created is not None
    assert (created.status, created.reason) == (Status.IDLE, "force_reset")
    assert await store.page() == ["a"]


async def test_requests(store: SessionStore, auth_store: RedisAuthStore) -> None:
    assert await store.request("a", Intent.STOP, deadline_in_ms=1_000) is None
    record = await start(store)
    record = await advance(store, record, Event.QR, Status.QR, set={"qr": "text"}, qr_in_ms=60_000)
    asked = await store.request("a", Intent.STOP, deadline_in_ms=1_000)
    assert asked is not None
    assert (asked.status, asked.intent, asked.seq, asked.qr) == (Status.QR, Intent.STOP, record.seq + 1, "text")
    assert asked.intent_deadline_at == asked.updated_at + 1_000
    assert await store.request("a", Intent.STOP, deadline_in_ms=9_000) == asked
    replaced = await store.request("a", Intent.LOGOUT, deadline_in_ms=60_000)
    assert replaced is not None
    assert (replaced.intent, replaced.seq) == (Intent.LOGOUT, asked.seq + 1)
    assert await store.request("a", Intent.STOP, deadline_in_ms=1_000) == replaced


async def test_a_session_with_nothing_to_end_is_asked_nothing(store: SessionStore, auth_store: RedisAuthStore) -> None:
    idle = await store.ensure("a")
    for intent in Intent:
        assert await store.request("a", intent, deadline_in_ms=1_000) == idle
    stopped = await advance(store, await link(store, auth_store, "b"), Event.STOP, Status.STOPPED)
    assert await store.request("b", Intent.STOP, deadline_in_ms=1_000) == stopped
    asked = await store.request("b", Intent.LOGOUT, deadline_in_ms=1_000)
    assert asked is not None
    assert asked.intent is Intent.LOGOUT


async def test_a_request_that_nobody_waits_for_is_replaced(store: SessionStore) -> None:
    await start(store)
    await store.request("a", Intent.LOGOUT, deadline_in_ms=0)
    late = await store.request("a", Intent.STOP, deadline_in_ms=1_000)
    assert late is not None
    assert late.intent is Intent.STOP


async def test_delete_leaves_nothing(
    store: SessionStore, auth_store: RedisAuthStore, redis_client: RedisClient
) -> None:
    record = await link(store, auth_store)
    assert await store.delete("a")
    assert await all_keys(redis_client) == set()
    assert not await store.delete("a")
    with pytest.raises(StaleEpoch):
        await auth_store.write("a", epoch=record.epoch, values={"creds": "late"})
    assert await all_keys(redis_client) == set()


@pytest.mark.invariant("I1")
async def test_a_new_namesake_does_not_revive_an_old_epoch(store: SessionStore, auth_store: RedisAuthStore) -> None:
    await start(store)
    for _ in range(20):  # faster than anybody can, so that epochs run ahead of the clock if they ever do
        await asyncio.gather(*(store.reset("a") for _ in range(20)))
    old = await start(store)
    await store.delete("a")
    new = await start(store)
    assert new.epoch > old.epoch
    with pytest.raises(StaleEpoch):
        await auth_store.write("a", epoch=old.epoch, values={"creds": "late"})


@pytest.mark.invariant("I8")
async def test_an_expired_qr_code_is_not_handed_out(store: SessionStore) -> None:
    record = await start(store)
    shown = await advance(store, record, Event.QR, Status.QR, set={"qr": "text", "qr_id": "1"}, qr_in_ms=1)
    expires = shown.qr_expires_at
    assert expires is not None
    while True:
        reading = await store.read("a")
        assert reading is not None
        many = (await store.read_many(["a"]))[0]
        assert many is not None
        if reading.now >= expires:
            break
    assert reading.record.qr is None
    assert many.record.qr is None
    assert reading.record.qr_id == "1"
    conflict = await store.advance(
        "a", epoch=record.epoch, seq=0, change=Change(event=Event.FAIL, status=Status.FAILED)
    )
    assert isinstance(conflict, Conflict)
    assert conflict.record.qr is None


@pytest.mark.invariant("I7")
async def test_the_timeline_numbers_every_transition(store: SessionStore, auth_store: RedisAuthStore) -> None:
    record = await link(store, auth_store)
    await store.request("a", Intent.STOP, deadline_in_ms=1_000)
    await store.reset("a")
    entries = await store.timeline("a")
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert len(entries) == record.seq + 2
    assert await store.timeline("a", after=2, limit=2) == entries[2:4]
    assert await store.timeline_tail("a", limit=3) == entries[-3:]
    assert all(entry.reason != "QR" for entry in entries)


async def test_pages_are_lexical(store: SessionStore, redis_client: RedisClient, keys: Keys) -> None:
    ids = sorted(f"{head}{number}" for head in "abc" for number in range(4))
    for id in reversed(ids):
        await store.ensure(id)
    await redis_client.execute("ZADD", keys.sessions, 0, "a1x")  # registered, never created
    assert await store.count() == 13
    assert await store.page(limit=5) == ids[:5]
    assert await store.page(after=ids[4], limit=100) == ids[5:]
    assert await store.page(prefix="b") == [id for id in ids if id.startswith("b")]
    assert await store.page(prefix="b", after="b1") == ["b2", "b3"]
    assert await store.page(prefix="b", after="a") == ["b0", "b1", "b2", "b3"]
    assert await store.count() == 12
    assert [reading.record.id for reading in await store.read_many(ids) if reading] == ids


def test_cleared_statuses_are_resting_ones() -> None:
    assert not CLEARED & RUNNING
