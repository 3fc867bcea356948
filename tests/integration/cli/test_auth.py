"""`relink auth` on a Redis that holds sessions of other programs."""

from pathlib import Path

import pytest

from app.cli.errors import Exit
from tests.support.commands import Ran, relink
from tests.support.redis_server import RedisServer


@pytest.fixture(autouse=True)
def foreign(redis: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RedisServer:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", redis.url)
    with redis.client() as client:
        client.set("old-bot:creds", "{}")
        client.set("old-bot:pre-key-1", "{}")
        client.set("old-bot:orders", "of somebody else")
        client.hset("shop:auth", mapping={"creds": "{}", "pre-key-1": "{}"})
        client.hset("relink:{default}:auth", mapping={"creds": "{}"})
    return redis


def keys(redis: RedisServer) -> set[str]:
    with redis.client() as client:
        return set(client.scan_iter())


def auth(*arguments: str) -> Ran:
    return relink("auth", *arguments)


def test_sessions_of_other_programs_are_listed() -> None:
    assert auth("list", "--json").json == [
        {"session": "old-bot", "layout": "keys"},
        {"session": "shop", "layout": "hash"},
    ]
    table = auth("list").out.splitlines()
    assert [line.split() for line in table] == [["SESSION", "LAYOUT"], ["old-bot", "keys"], ["shop", "hash"]]
    assert {"session": "relink:{default}", "layout": "hash"} in auth("list", "--own", "--json").json


def test_nothing_is_deleted_without_yes(redis: RedisServer) -> None:
    before = keys(redis)
    said = auth("delete", "old-bot")
    assert said.status == Exit.OK
    assert "old-bot, keys layout" in said.out
    assert "Add --yes" in said.out
    assert "(3 keys)" in auth("delete", "old-bot", "--everything").out
    assert auth("delete", "nobody").status == Exit.FAILED
    assert keys(redis) == before


def test_one_session_is_deleted(redis: RedisServer) -> None:
    assert "2 keys of old-bot were deleted" in auth("delete", "old-bot", "--yes").out
    assert "1 keys of shop were deleted" in auth("delete", "shop", "--layout", "hash", "--yes").out
    assert keys(redis) == {"old-bot:orders", "relink:{default}:auth"}


def test_everything_means_everything(redis: RedisServer) -> None:
    auth("delete", "old-bot", "--everything", "--yes")
    assert keys(redis) == {"shop:auth", "relink:{default}:auth"}


def test_relinks_own_are_refused(redis: RedisServer) -> None:
    before = keys(redis)
    said = auth("delete", "relink:{default}", "--yes")
    assert said.status == Exit.REFUSED
    assert "Relink's own" in said.err
    assert keys(redis) == before


def test_without_a_redis_it_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    said = auth("list")
    assert said.status == Exit.USAGE
    assert "REDIS_URL=redis://" in said.err


def test_a_redis_that_is_away_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("REDIS_TIMEOUT", "0.5")
    said = auth("list")
    assert said.status == Exit.UNREACHABLE
    assert said.err.startswith("relink: Redis")
