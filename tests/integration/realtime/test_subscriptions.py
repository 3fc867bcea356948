"""Who hears what: only those who subscribed, everything, once, in order."""

import asyncio
import os
import signal
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.model import Status
from app.realtime.clients import OUTBOX
from tests.support.face import Face, serving
from tests.support.redis_server import RedisServer
from tests.support.socketio_client import Event, SocketIoClient, SocketIoDriver

pytestmark = pytest.mark.bridge


async def link(face: Face, session: str) -> str:
    code = await face.relink.service.generate_qr(session)
    jid = await face.engine.scan(code.text)
    async for update in face.relink.service.follow(session):
        if update.record is not None and update.record.status is Status.CONNECTED:
            break
    return jid


def entries(events: list[Event], session: str) -> list[int]:
    return [data["seq"] for name, data in events if name == "timeline-entry" and data["session"] == session]


def sessions(events: list[Event]) -> set[str]:
    """Of which sessions these events tell."""
    return {str(data.get("session") or data.get("id")) for _, data in events if isinstance(data, dict)}


async def settled(client: SocketIoClient) -> list[Event]:
    """All that the client has heard when the service has answered one more question of its own."""
    await client.emit("unsubscribe", {"session": "none-such"})
    return (await client.until("unsubscribe-success"))[:-1]


async def test_a_client_that_subscribes_to_nothing_hears_of_default(face: Face, js: SocketIoDriver) -> None:
    client = await js.connect(face.url)
    assert (await client.next())[1]["status"] == "idle"
    code = (await face.http.post("/sessions/default/qr")).json()
    seen = await client.until("qr")  # before it is scanned: a code that is used up is told to nobody
    jid = await face.engine.scan(code["text"])
    seen += await client.until("ready")
    names = [name for name, _ in seen]
    assert names.index("qr") < names.index("authenticated") < names.index("ready")
    statuses = [data["status"] for name, data in seen if name == "session-status"]
    assert statuses == ["starting", "qr", "linking", "linking", "connected"]
    numbers = [data["seq"] for name, data in seen if name == "session-status"]
    assert numbers == entries(seen, "default") == list(range(2, 7))
    (code,) = [data for name, data in seen if name == "qr"]
    assert set(code) == {"session", "qr_id", "text", "data_url", "expires_at", "attempt", "limit"}
    authenticated = next(data for name, data in seen if name == "authenticated")
    assert (authenticated["session"], authenticated["jid"]) == ("default", jid)
    await face.engine.phone_logout(jid)
    bye = (await client.until("disconnected"))[-1][1]
    assert (bye["session"], bye["reason"], bye["next_action"]) == ("default", "phone_logout", "start")
    assert bye["detail"]
    assert bye["code"] == 401


@pytest.mark.invariant("I10")
async def test_only_subscribers_hear(face: Face, js: SocketIoDriver) -> None:
    for name in ("a", "b"):
        await face.relink.service.start(name)
    of_a, of_b, of_default = [await js.connect(face.url) for _ in range(3)]
    assert (await of_a.call("subscribe", {"session": "a"}))["record"]["id"] == "a"
    assert (await of_b.call("subscribe", {"session": "b"}))["ok"]
    await of_a.until("subscribe-success")
    await of_b.until("subscribe-success")
    for name in ("a", "b", "default"):
        await face.relink.service.force_reset(name)
        await link(face, name)
    heard_a = await of_a.until("ready")
    heard_b = await of_b.until("ready")
    heard_default = await of_default.until("ready")
    assert sessions(heard_a + await settled(of_a)) == {"a"}
    assert sessions(heard_b + await settled(of_b)) == {"b"}
    assert sessions(heard_default + await settled(of_default)) == {"default"}


@pytest.mark.invariant("I10")
async def test_verbs_do_not_subscribe_and_their_answers_reach_the_caller_only(face: Face, js: SocketIoDriver) -> None:
    caller, other = await js.connect(face.url), await js.connect(face.url)
    await other.until("session-status")
    await caller.until("session-status")
    await caller.call("generate-qr", {"session": "work"})
    await caller.call("force-reset", {"session": "work"})
    names = [name for name, _ in await settled(caller)]
    assert sorted(names) == ["force-reset-success", "generate-qr-success"]
    assert await settled(other) == []


async def test_after_replays_and_then_follows_without_gap_or_repetition(face: Face, js: SocketIoDriver) -> None:
    """Transitions go on while the client is replaying."""
    service = face.relink.service
    for _ in range(20):
        await service.force_reset("default")
    client = await js.connect(face.url)
    await client.until("session-status")

    async def churn() -> None:
        for _ in range(60):
            await service.force_reset("default")

    churning = asyncio.create_task(churn())
    answer = await client.call("subscribe", {"session": "default", "after": 3})
    assert answer["ok"]
    await churning
    last = (await service.get("default")).seq
    seen = await client.until("session-status", seq=last) + await settled(client)
    at = next(i for i, (name, data) in enumerate(seen) if name == "timeline-entry" and data["seq"] == 4)
    assert entries(seen[at:], "default") == list(range(4, last + 1))
    assert [data["seq"] for name, data in seen[at:] if name == "session-status"] == list(range(4, last + 1))


async def test_a_long_timeline_is_replayed_whole(face: Face, js: SocketIoDriver) -> None:
    for _ in range(700):
        await face.relink.service.force_reset("default")
    client = await js.connect(face.url)
    await client.call("unsubscribe", {"session": "default"})
    await client.until("unsubscribe-success")
    answer = await client.call("subscribe", {"after": 0}, timeout=30)
    last = answer["record"]["seq"]
    assert entries(await client.until("session-status", seq=last, timeout=30), "default") == list(range(1, last + 1))


async def test_subscribing_again_replays_again_and_does_not_double_the_news(face: Face, js: SocketIoDriver) -> None:
    client = await js.connect(face.url)
    for _ in range(3):
        await client.call("subscribe", {"after": 0})
        seen = await client.until("subscribe-success")
        assert entries(seen, "default")[-1:] == [1]
    await face.relink.service.force_reset("default")
    seen = await client.until("session-status", seq=2)
    assert entries(seen + await settled(client), "default") == [2]


async def test_unsubscribe_ends_it(face: Face, js: SocketIoDriver) -> None:
    client = await js.connect(face.url)
    await client.until("session-status")
    assert (await client.call("unsubscribe", {"session": "default"}))["ok"]
    await face.relink.service.force_reset("default")
    assert entries(await settled(client), "default") == []


async def test_a_late_subscriber_gets_the_code_on_offer_once(face: Face, js: SocketIoDriver) -> None:
    code = await face.relink.service.generate_qr("default")
    client = await js.connect(face.url)
    (_, status), (name, data) = await client.next(), await client.next()
    assert (status["status"], name, data["qr_id"]) == ("qr", "qr", code.qr_id)
    face.engine.next_code("default")
    seen = await client.until("qr")
    assert seen[-1][1]["attempt"] == 2


async def test_a_session_that_is_deleted_and_made_again_goes_on(face: Face, js: SocketIoDriver) -> None:
    await face.relink.service.start("work")
    client = await js.connect(face.url)
    await client.call("subscribe", {"session": "work"})
    await face.relink.service.delete("work")
    assert (await client.until("session-deleted"))[-1][1] == {"session": "work"}
    await face.relink.service.start("work")
    seen = await client.until("timeline-entry", session="work", event="start")
    assert entries(seen, "work") == [1, 2]


async def test_clients_of_every_replica_hear(redis: RedisServer, js: SocketIoDriver) -> None:
    async with serving(redis.url) as one, serving(redis.url) as two:
        clients = [await js.connect(face.url) for face in (one, two)]
        for client in clients:
            await client.until("session-status")
        await clients[1].call("force-reset")
        last = (await one.relink.service.get("default")).seq
        for client in clients:
            assert entries(await client.until("session-status", seq=last), "default")[-1] == last


async def test_nothing_is_missed_while_redis_is_away(redis: RedisServer, js: SocketIoDriver) -> None:
    async with serving(redis.url, redis_timeout=0.3) as one, serving(redis.url) as two:
        client = await js.connect(one.url)
        await client.until("session-status")
        os.kill(redis.process.pid, signal.SIGSTOP)
        try:
            assert (await client.call("force-reset"))["code"] == "redis_unavailable"
            await asyncio.sleep(0.5)  # the follower gives up meanwhile, and must come back
        finally:
            os.kill(redis.process.pid, signal.SIGCONT)
        for _ in range(3):
            await two.relink.service.force_reset("default")
        last = (await two.relink.service.get("default")).seq
        seen = await client.until("session-status", seq=last, timeout=20)
        assert entries(seen, "default") == list(range(2, last + 1))


@pytest.mark.slow
async def test_one_that_does_not_read_is_cut_off_and_slows_no_other(redis: RedisServer, js: SocketIoDriver) -> None:
    """A client stops reading from its connection while its session goes through a great many transitions."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # the kernel shall not read in its stead
    listener.bind(("127.0.0.1", 0))
    async with serving(redis.url, listener) as face:
        reader, writer = await connect_by_hand(face.url)
        other = await js.connect(face.url)
        await other.until("session-status")
        for _ in range(OUTBOX // 2 + 200):
            await face.relink.service.force_reset("default")
        last = (await face.relink.service.get("default")).seq
        assert entries(await other.until("session-status", seq=last, timeout=30), "default")[-1] == last
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            while await reader.read(65_536):
                pass
        writer.close()


async def connect_by_hand(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A Socket.IO client on a WebSocket with a small receive buffer that reads nothing after its first packets."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    parts = urlsplit(url)
    await asyncio.get_running_loop().sock_connect(raw, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=4096)
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    mask = b"\0\0\0\0"
    writer.write(b"\x81\x82" + mask + b"40")  # Engine.IO message, Socket.IO connect
    await writer.drain()
    await reader.readuntil(b"session-status")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return reader, writer


KEY = "correct-horse-battery"


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(
    "options", [{}, {"auth": {"apiKey": "wrong"}}, {"auth": {"apiKey": 7}}, {"auth": "text"}, {"auth": []}]
)
async def test_without_the_key_a_client_is_told_what_to_do(
    redis: RedisServer, js: SocketIoDriver, options: dict[str, Any]
) -> None:
    async with serving(redis.url, api_key=KEY) as face:
        client = await js.open(face.url, **options)
        event, detail = await client.next()
        assert event == "connect_error"
        assert "apiKey" in detail["message"]
        assert (detail["data"]["code"], detail["data"]["next_action"]) == ("unauthorized", "send_api_key")
        await face.relink.service.force_reset("default")
        assert client.heard() == []


@pytest.mark.parametrize(
    "options",
    [
        {"auth": {"apiKey": KEY}},
        {"auth": {"token": KEY}},
        {"extraHeaders": {"X-API-Key": KEY}},
        {"extraHeaders": {"Authorization": f"Bearer {KEY}"}},
    ],
)
async def test_with_the_key_a_client_is_served(redis: RedisServer, js: SocketIoDriver, options: dict[str, Any]) -> None:
    async with serving(redis.url, api_key=KEY) as face:
        client = await js.connect(face.url, **options)
        assert (await client.call("force-reset"))["ok"]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_at_a_stop_clients_are_sent_off_at_once_and_come_back_by_themselves(
    redis: RedisServer, js: SocketIoDriver, transport: str
) -> None:
    async with serving(redis.url) as face:
        client = await js.connect(face.url, transports=[transport])
        face.app.state.stopping.set()
        seen = await client.until("disconnect", timeout=3)
        assert seen[-1][1] != "io server disconnect"  # after which the client would not connect again
