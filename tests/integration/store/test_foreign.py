"""Auth state that other programs left behind."""

import pytest

from app.model import AuthLayout
from app.store.client import RedisClient
from app.store.foreign import ForeignSession, OwnSession, delete_session, list_sessions
from app.store.keys import Keys
from app.store.sessions import SessionStore
from tests.support.keys import all_keys

BYSTANDERS = (
    "shop:orders",
    "shop:creds:backup",
    "shop:1:creds",
    "shopper:creds",
    "shop",
    "other:auth",
    "relink:sessions",
)


async def fill(client: RedisClient) -> None:
    for field in ("creds", "pre-key-1", "session-12.0", "sender-key-memory-a@g.us", "lid-mapping-1", "device-list-1"):
        await client.execute("SET", f"shop:{field}", "{}")
    await client.execute("HSET", "shop:auth", "creds", "{}", "pre-key-1", "{}")
    for key in ("shop:orders", "shop:creds:backup", "shop:1:creds", "shopper:creds", "shop"):
        await client.execute("SET", key, "x")
    await client.execute("HSET", "other:auth", "user", "somebody")
    await client.execute("ZADD", "relink:sessions", 0, "x")


async def remaining(client: RedisClient) -> set[str]:
    return await all_keys(client)


async def test_lists_sessions_of_both_layouts(redis_client: RedisClient, keys: Keys) -> None:
    await fill(redis_client)
    await redis_client.execute("HSET", "relink:{a}:auth", "creds", "{}")
    found = {session async for session in list_sessions(redis_client, keys)}
    assert found == {
        ForeignSession("shop", AuthLayout.KEYS),
        ForeignSession("shop:1", AuthLayout.KEYS),
        ForeignSession("shopper", AuthLayout.KEYS),
        ForeignSession("shop", AuthLayout.HASH),
    }
    own = {session async for session in list_sessions(redis_client, keys, own=True)} - found
    assert own == {ForeignSession("relink:{a}", AuthLayout.HASH)}


@pytest.mark.invariant("I11")
async def test_delete_leaves_what_is_not_auth_state(redis_client: RedisClient, keys: Keys) -> None:
    await fill(redis_client)
    progress = [removed async for removed in delete_session(redis_client, keys, "shop")]
    assert progress[-1] == 7
    assert await remaining(redis_client) == set(BYSTANDERS)
    assert [removed async for removed in delete_session(redis_client, keys, "shop")][-1] == 0


async def test_delete_of_one_layout(redis_client: RedisClient, keys: Keys) -> None:
    await fill(redis_client)
    assert [removed async for removed in delete_session(redis_client, keys, "shop", layout=AuthLayout.HASH)] == [1]
    assert await redis_client.execute("EXISTS", "shop:creds") == 1
    [_ async for _ in delete_session(redis_client, keys, "shop", layout=AuthLayout.KEYS)]
    assert await remaining(redis_client) == set(BYSTANDERS)


async def test_everything_is_the_librarys_way(redis_client: RedisClient, keys: Keys) -> None:
    await fill(redis_client)
    [_ async for _ in delete_session(redis_client, keys, "shop", everything=True)]
    assert await remaining(redis_client) == {"shopper:creds", "shop", "other:auth", "relink:sessions"}


@pytest.mark.invariant("I11")
@pytest.mark.parametrize("name", ["*", "s*", "sho?", "[a-z]hop", "sh\\op", "{shop"])
@pytest.mark.parametrize("everything", [False, True])
async def test_glob_characters_mean_themselves(
    redis_client: RedisClient, keys: Keys, name: str, everything: bool
) -> None:
    await fill(redis_client)
    before = await remaining(redis_client)
    await redis_client.execute("SET", f"{name}:creds", "{}")
    removed = [removed async for removed in delete_session(redis_client, keys, name, everything=everything)][-1]
    assert removed == 1
    assert await remaining(redis_client) == before


@pytest.mark.invariant("I11")
async def test_relinks_own_keys_need_to_be_meant(redis_client: RedisClient, keys: Keys, store: SessionStore) -> None:
    await store.ensure("a")
    await redis_client.execute("SET", "relink:{a}:keys:creds", "{}")
    await redis_client.execute("SET", "relink:creds", "{}")
    before = await remaining(redis_client)
    for name in ("relink", "relink:{a}", "relink:{a}:keys"):
        with pytest.raises(OwnSession):
            [_ async for _ in delete_session(redis_client, keys, name, everything=True)]
    with pytest.raises(ValueError, match="empty"):
        [_ async for _ in delete_session(redis_client, keys, "", everything=True)]
    assert await remaining(redis_client) == before
    [_ async for _ in delete_session(redis_client, keys, "relink:{a}:keys", own=True)]
    assert await remaining(redis_client) == before - {"relink:{a}:keys:creds"}
