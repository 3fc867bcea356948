"""Server-sent events: everything, once, in order, also after an interruption; and they end with the service."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.api import events
from tests.integration.api.test_verbs import link
from tests.support.face import Face, serving
from tests.support.redis_server import RedisServer


class Stream:
    """What an `EventSource` would make of the stream."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.last_id = ""

    async def comment(self) -> None:
        """Return at the next comment."""
        async with asyncio.timeout(10):
            async for line in self._lines:
                if line.startswith(":"):
                    return
        raise EOFError

    async def next(self) -> tuple[str, dict[str, Any]]:
        name, data = "", ""
        async with asyncio.timeout(10):
            async for line in self._lines:
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data = value
                elif field == "id":
                    self.last_id = value
                elif not line and name:
                    return name, json.loads(data)
        raise EOFError

    async def until(self, name: str, **expected: object) -> list[tuple[str, dict[str, Any]]]:
        """All events up to the one that is called so and has these fields."""
        seen = []
        while True:
            seen.append(await self.next())
            if seen[-1][0] == name and expected.items() <= seen[-1][1].items():
                return seen


@asynccontextmanager
async def following(face: Face, path: str, last_id: str | None = None) -> AsyncIterator[Stream]:
    headers = {"last-event-id": last_id} if last_id is not None else {}
    async with face.http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield Stream(answer.aiter_lines())


async def test_a_life_is_told_as_over_socket_io(face: Face) -> None:
    async with following(face, "/sessions/default/events") as stream:
        assert (await stream.next())[1]["status"] == "idle"
        offered = (await face.http.post("/sessions/default/qr")).json()
        seen = await stream.until("qr")  # before it is scanned: a code that is used up is told to nobody
        jid = await face.engine.scan(offered["text"])
        seen += await stream.until("ready")
        names = [name for name, _ in seen]
        assert names.index("qr") < names.index("authenticated") < names.index("ready")
        statuses = [data["status"] for name, data in seen if name == "session-status"]
        assert statuses == ["starting", "qr", "linking", "linking", "connected"]
        (code,) = [data for name, data in seen if name == "qr"]
        assert code["text"].startswith("https://wa.me/")
        assert code["data_url"].startswith("data:image/png;base64,")
        await face.engine.phone_logout(jid)
        _, bye = (await stream.until("disconnected"))[-1]
        assert (bye["status"], bye["reason"], bye["next_action"]) == ("logged_out", "phone_logout", "start")
        assert bye["detail"]
        entries = [data["seq"] for name, data in seen if name == "timeline-entry"]
        assert entries == list(range(2, 2 + len(entries)))


async def test_last_event_id_brings_what_was_missed_and_nothing_twice(face: Face) -> None:
    async with following(face, "/sessions/default/events") as stream:
        await stream.next()
        await face.http.post("/generate-qr")
        seen = await stream.until("qr")
        last_id = stream.last_id
    await face.http.post("/force-reset")
    async with following(face, "/sessions/default/events", last_id) as stream:
        seen += await stream.until("session-status", status="idle")
        await face.http.post("/start-session")
        seen += await stream.until("session-status", status="starting")
    entries = [data["seq"] for name, data in seen if name == "timeline-entry"]
    assert entries == list(range(2, 2 + len(entries)))


async def test_after_replays_from_the_beginning(face: Face) -> None:
    await link(face, "default")
    async with following(face, "/sessions/default/events?after=0") as stream:
        seen = await stream.until("ready")
        assert next(data["event"] for name, data in seen if name == "timeline-entry") == "created"
        assert "qr" not in [name for name, _ in seen]


async def test_one_who_comes_late_gets_the_code_on_offer(face: Face) -> None:
    code = (await face.http.post("/generate-qr")).json()
    async with following(face, "/sessions/default/events") as stream:
        assert (await stream.next())[0] == "session-status"
        name, data = await stream.next()
        assert (name, data["qr_id"]) == ("qr", code["qr_id"])


@pytest.mark.invariant("I10")
async def test_other_sessions_are_not_heard(face: Face) -> None:
    await face.http.post("/sessions/mine/start")
    async with following(face, "/sessions/mine/events") as stream:
        await stream.until("session-status")
        await link(face, "other")
        await face.http.post("/sessions/mine/force-reset")
        for _, data in await stream.until("session-status", status="idle"):
            assert "mine" in (data.get("id"), data.get("session"))


async def test_the_stream_ends_with_the_session(face: Face) -> None:
    await face.http.post("/sessions/work/start")
    async with following(face, "/sessions/work/events") as stream:
        await stream.next()
        await face.http.delete("/sessions/work")
        assert (await stream.until("session-deleted"))[-1][1] == {"session": "work"}
        with pytest.raises(EOFError):
            await stream.next()


async def test_a_quiet_stream_shows_that_it_lives(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.02)
    async with following(face, "/sessions/default/events") as stream:
        await stream.next()
        await stream.comment()
        await stream.comment()
        await face.http.post("/force-reset")
        assert (await stream.next())[0] == "timeline-entry"


async def test_the_stream_ends_with_the_service(redis: RedisServer) -> None:
    async with serving(redis.url) as face, following(face, "/sessions/default/events") as stream:
        await stream.next()
        began = time.monotonic()
        face.app.state.stopping.set()
        with pytest.raises(EOFError):
            await stream.next()
        assert time.monotonic() - began < 1


async def test_a_wait_for_a_code_ends_with_the_service(redis: RedisServer) -> None:
    async with serving(redis.url, qr_wait=30) as face:
        face.engine.silent = True
        waiting = asyncio.create_task(face.http.post("/generate-qr"))
        follow = face.relink.service.follow("default")
        while (await anext(follow)).record.status != "starting":  # type: ignore[union-attr]
            pass
        await follow.aclose()
        face.app.state.stopping.set()
        answer = await waiting
        assert answer.status_code == 503
        assert answer.json()["code"] == "service_stopping"
        assert int(answer.headers["retry-after"]) >= 1
