"""The auth state: fenced, in either layout, and taken over from others."""

import pytest

from app.model import AuthLayout, Change, Event, Intent, StaleEpoch, Status
from app.store.auth import RedisAuthStore
from app.store.client import RedisClient
from app.store.keys import Keys
from app.store.sessions import SessionStore
from tests.integration.store.test_sessions import link, session_keys, start

BARE = {"relink:{a}", "relink:{a}:timeline"}


async def test_what_is_written_can_be_read(store: SessionStore, auth_store: RedisAuthStore) -> None:
    epoch = (await start(store)).epoch
    await auth_store.write("a", epoch=epoch, values={"creds": "{}", "pre-key-1": "eins", "pre-key-2": "zwei"})
    await auth_store.write("a", epoch=epoch, values={"pre-key-1": None, "pre-key-2": "due", "session-x.0": "s"})
    found = await auth_store.read("a", epoch=epoch, fields=["pre-key-2", "none", "creds", "pre-key-1", "session-x.0"])
    assert found == {"pre-key-2": "due", "creds": "{}", "session-x.0": "s"}
    assert await auth_store.read("a", epoch=epoch, fields=[]) == {}
    await auth_store.write("a", epoch=epoch, values={})


async def test_texts_are_opaque(store: SessionStore, auth_store: RedisAuthStore) -> None:
    epoch = (await start(store)).epoch
    values: dict[str, str | None] = {
        "creds": '{"a": "\\u00e9 \\\\ \\""}',
        "session-ü 🔑": "ü 🔑 \n \x00 \x7f \u2028",
        "pre-key-1": "",
        "pre-key-2": "9" * 40,
    }
    await auth_store.write("a", epoch=epoch, values=values)
    assert await auth_store.read("a", epoch=epoch, fields=list(values)) == values


async def test_the_layouts_are_those_of_baileys_redis_auth(store: SessionStore, redis_client: RedisClient) -> None:
    for layout, id in [(AuthLayout.HASH, "h"), (AuthLayout.KEYS, "k")]:
        epoch = (await start(store, id)).epoch
        await RedisAuthStore(redis_client, Keys("relink"), layout).write(
            id, epoch=epoch, values={"creds": "{}", "x-1": "1"}
        )
    assert await redis_client.execute("HGET", "relink:{h}:auth", "x-1") == "1"
    assert await redis_client.execute("GET", "relink:{k}:keys:x-1") == "1"
    assert set(await redis_client.execute("SMEMBERS", "relink:{k}:fields")) == {"creds", "x-1"}


async def test_thousands_of_fields_fit_one_call(
    store: SessionStore, auth_store: RedisAuthStore, redis_client: RedisClient
) -> None:
    epoch = (await start(store)).epoch
    values: dict[str, str | None] = {f"pre-key-{number}": "x" * 100 for number in range(5_000)}
    await auth_store.write("a", epoch=epoch, values=values)
    assert await auth_store.read("a", epoch=epoch, fields=list(values)) == values
    await store.reset("a")
    assert await session_keys(redis_client) == BARE
    epoch = (await start(store)).epoch
    await auth_store.write("a", epoch=epoch, values=values)
    await auth_store.write("a", epoch=epoch, values=dict.fromkeys(values))
    assert await session_keys(redis_client) == BARE


@pytest.mark.invariant("I2")
async def test_a_stale_write_changes_nothing(store: SessionStore, auth_store: RedisAuthStore) -> None:
    record = await link(store, auth_store)
    claimed = await store.claim("a", expected_owner="w1", expected_epoch=record.epoch, owner="w2", deadline_in_ms=1_000)
    for epoch in (record.epoch, record.epoch + 2, 0):
        with pytest.raises(StaleEpoch):
            await auth_store.write("a", epoch=epoch, values={"creds": "late", "pre-key-1": None, "pre-key-9": "x"})
        with pytest.raises(StaleEpoch):
            await auth_store.read("a", epoch=epoch, fields=["creds"])
    found = await auth_store.read("a", epoch=record.epoch + 1, fields=["creds", "pre-key-1", "pre-key-9"])
    assert found == {"creds": "{}", "pre-key-1": "1"}
    reading = await store.read("a")
    assert reading is not None
    assert reading.record == claimed


@pytest.mark.invariant("I3")
@pytest.mark.parametrize("clearing", ["reset", "logout", "failed"])
async def test_nothing_brings_cleared_credentials_back(
    store: SessionStore, auth_store: RedisAuthStore, redis_client: RedisClient, clearing: str
) -> None:
    record = await link(store, auth_store)
    if clearing == "reset":
        await store.reset("a")
    else:
        event, status = (Event.LOGOUT, Status.LOGGED_OUT) if clearing == "logout" else (Event.FAIL, Status.FAILED)
        change = Change(event=event, status=status, clear=True)
        await store.advance("a", epoch=record.epoch, seq=record.seq, change=change)
    # Late writes under the old epoch, and under the present one, which belongs to nobody yet.
    for epoch in (record.epoch, record.epoch + 1):
        with pytest.raises(StaleEpoch):
            await auth_store.write("a", epoch=epoch, values={f"pre-key-{number}": "late" for number in range(812)})
        with pytest.raises(StaleEpoch):
            await auth_store.write("a", epoch=epoch, values={"creds": "late"})
    assert await session_keys(redis_client) == BARE


async def foreign_keys(client: RedisClient, creds: str = "foreign") -> None:
    for field, value in {"creds": creds, "pre-key-7": "7", "session-1.0": "s"}.items():
        await client.execute("SET", f"relink:{{a}}:keys:{field}", value)


@pytest.mark.parametrize("layout", list(AuthLayout))
async def test_takes_over_the_keys_layout_of_another_program(
    store: SessionStore, redis_client: RedisClient, keys: Keys, layout: AuthLayout
) -> None:
    auth = RedisAuthStore(redis_client, keys, layout)
    await foreign_keys(redis_client)
    record = await start(store)
    assert record.status is Status.CONNECTING
    fields = ["creds", "pre-key-7", "session-1.0"]
    assert await auth.read("a", epoch=record.epoch, fields=fields) == {
        "creds": "foreign",
        "pre-key-7": "7",
        "session-1.0": "s",
    }
    assert await auth.adopt("a") == 0
    await store.reset("a")
    assert await session_keys(redis_client) == BARE


@pytest.mark.parametrize("layout", list(AuthLayout))
async def test_takes_over_the_hash_layout_of_another_program(
    store: SessionStore, redis_client: RedisClient, keys: Keys, layout: AuthLayout
) -> None:
    auth = RedisAuthStore(redis_client, keys, layout)
    await redis_client.execute("HSET", "relink:{a}:auth", "creds", "foreign", "pre-key-7", "7")
    record = await start(store)
    assert record.status is Status.CONNECTING
    assert await auth.read("a", epoch=record.epoch, fields=["creds"]) == {"creds": "foreign"}
    assert await auth.read("a", epoch=record.epoch, fields=["pre-key-7"]) == {"pre-key-7": "7"}
    await store.reset("a")
    assert await session_keys(redis_client) == BARE


async def test_adopt_before_the_first_start(redis_client: RedisClient, keys: Keys) -> None:
    auth = RedisAuthStore(redis_client, keys, AuthLayout.KEYS)
    assert await auth.adopt("a") == 0
    await foreign_keys(redis_client)
    await redis_client.execute("SET", "relink:{ab}:keys:creds", "somebody else's")
    assert await auth.adopt("a") == 3
    assert await redis_client.execute("SCARD", "relink:{a}:fields") == 3
    assert await auth.adopt("a") == 0


@pytest.mark.invariant("I3")
async def test_fields_that_another_program_wrote_in_between_are_cleared_too(
    store: SessionStore, redis_client: RedisClient, keys: Keys
) -> None:
    auth = RedisAuthStore(redis_client, keys, AuthLayout.KEYS)
    record = await link(store, auth)
    await store.advance("a", epoch=record.epoch, seq=record.seq, change=Change(event=Event.STOP, status=Status.STOPPED))
    await foreign_keys(redis_client, creds="rotated by the other program")
    await redis_client.execute("SET", "relink:{a}x:keys:creds", "somebody else's")
    await store.reset("a")
    assert await session_keys(redis_client) == BARE | {"relink:{a}x:keys:creds"}
    record = await start(store)
    await auth.write("a", epoch=record.epoch, values={"creds": "new"})
    await store.delete("a")
    assert await session_keys(redis_client) == {"relink:{a}x:keys:creds"}


@pytest.mark.invariant("I3")
async def test_credentials_go_at_once_even_if_the_purge_cannot_follow(
    store: SessionStore, redis_client: RedisClient, keys: Keys
) -> None:
    await store.ensure("a")
    await foreign_keys(redis_client)
    answer = await redis_client.script("reset", keys.of_scripts("a"), ["op", "", ""])
    assert answer[3] == 1
    assert await redis_client.execute("EXISTS", "relink:{a}:keys:creds") == 0
    await start(store)  # the next change makes good for it
    assert await session_keys(redis_client) == BARE


@pytest.mark.invariant("I11")
async def test_a_late_purge_spares_a_link_begun_since(
    store: SessionStore, redis_client: RedisClient, keys: Keys
) -> None:
    auth = RedisAuthStore(redis_client, keys, AuthLayout.KEYS)
    await store.ensure("a")
    await foreign_keys(redis_client)
    scripts = [("reset", ["op1", "", ""]), ("start", ["op2", "w1", "30000", "30000", ""])]
    for name, args in scripts:  # without the purge that the store would do here
        assert (await redis_client.script(name, keys.of_scripts("a"), args))[3] == 1
    reading = await store.read("a")
    assert reading is not None
    await auth.write("a", epoch=reading.record.epoch, values={"creds": "new", "pre-key-7": "new"})
    await store.request("a", Intent.STOP, deadline_in_ms=1_000)
    assert await session_keys(redis_client) == BARE | {
        "relink:{a}:fields",
        "relink:{a}:keys:creds",
        "relink:{a}:keys:pre-key-7",
    }


@pytest.mark.invariant("I2")
async def test_adopting_is_fenced(store: SessionStore, redis_client: RedisClient, keys: Keys) -> None:
    record = await start(store)
    await foreign_keys(redis_client)
    for epoch in (record.epoch - 1, ""):
        answer = await redis_client.script("auth_adopt", keys.of_scripts("a"), [epoch, "keys", "1", "creds"])
        assert answer == ["stale"]
    assert await redis_client.execute("EXISTS", "relink:{a}:fields") == 0


@pytest.mark.invariant("I3")
async def test_delete_purges_what_another_program_wrote(store: SessionStore, redis_client: RedisClient) -> None:
    await foreign_keys(redis_client)
    await store.ensure("a")
    await store.delete("a")
    assert await session_keys(redis_client) == set()
