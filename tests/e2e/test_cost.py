"""What a link costs in round trips to Redis."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from app.store.client import RedisClient
from tests.support.world import World

MOST_PER_LINK = 25
"""A store that writes key by key makes about 820."""

OWNERS_TASKS = ("session ", "socket ")


@contextmanager
def round_trips(monkeypatch: pytest.MonkeyPatch, session: str) -> Iterator[list[str]]:
    """Every round trip for `session`, by script or command, in order: those of its owner, which come in tasks of
    their own, and those of this task before the first of them. What tests and callers look at is not counted."""
    made: list[str] = []
    caller = asyncio.current_task()
    script, execute, pipeline = RedisClient.script, RedisClient.execute, RedisClient.pipeline

    def note(name: str, words: Sequence[object]) -> None:
        task = asyncio.current_task()
        counted = task is caller or (task is not None and task.get_name().startswith(OWNERS_TASKS))
        if counted and any(word == session or f"{{{session}}}" in str(word) for word in words):
            made.append(name)

    async def noted_script(client: RedisClient, name: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        note(name, keys)
        return await script(client, name, keys, args)

    async def noted_execute(client: RedisClient, *command: str | int) -> Any:
        note(str(command[0]), command)
        return await execute(client, *command)

    async def noted_pipeline(client: RedisClient, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        note("pipeline", [word for command in commands for word in command])
        return await pipeline(client, commands)

    with monkeypatch.context() as patch:
        patch.setattr(RedisClient, "script", noted_script)
        patch.setattr(RedisClient, "execute", noted_execute)
        patch.setattr(RedisClient, "pipeline", noted_pipeline)
        yield made


async def test_a_link_takes_few_round_trips(each_world: World, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the request for a code to the end of what the client writes after its first login."""
    with round_trips(monkeypatch, session) as made:
        await each_world.service.start(session)
        await asyncio.create_task(each_world.link(session), name="test")
    assert made[:4] == ["SADD", "ZADD", "start", "ZADD"]
    assert made.count("advance") == 4, "qr, paired, restart, open"
    assert len(made) <= MOST_PER_LINK, made


async def test_a_reset_is_one_script(world: World, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.link(session)
    with round_trips(monkeypatch, session) as made:
        await world.service.force_reset(session)
    assert [name for name in made if not name.startswith("auth_")] == ["reset"]  # the client may still be asking
