"""Redis away, frozen, cut off or full: sockets stay open, callers are told at once, and afterwards all goes on by
itself, nothing lost, nobody moved."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from app.model import Event as Cause
from app.model import Status
from tests.support.fleet import TTL_S, Fleet, Replica, fleet
from tests.support.redis_node import RedisNode
from tests.support.simulator import Simulator
from tests.support.socketio_client import Event, SocketIoClient, SocketIoDriver
from tests.support.witness import all_pre_keys_kept, following, standing, stands_as

TIMEOUT_S = 1.5
"""REDIS_TIMEOUT."""

SLACK_S = 2.0
"""What a busy test machine adds."""

AWAY_S = TTL_S + 1.0
"""Longer than the heartbeats last."""

REQUESTS = [
    ("POST", "/sessions/a/start"),
    ("POST", "/sessions/a/qr"),
    ("POST", "/sessions/a/logout"),
    ("POST", "/sessions/a/stop"),
    ("POST", "/sessions/a/force-reset"),
    ("DELETE", "/sessions/a"),
    ("POST", "/start-session"),
    ("POST", "/generate-qr"),
    ("POST", "/logout"),
    ("POST", "/force-reset"),
    ("GET", "/status"),
    ("GET", "/sessions"),
    ("GET", "/sessions/a"),
    ("GET", "/sessions/a/qr"),
    ("GET", "/sessions/a/timeline"),
    ("GET", "/sessions/a/events"),
    ("GET", "/replicas"),
    ("GET", "/health/ready"),
]

VERBS = ["start-session", "generate-qr", "logout", "stop-session", "force-reset"]


@pytest.fixture
async def replicas(node: RedisNode, simulator: Simulator) -> AsyncIterator[Fleet]:
    async with fleet(node.url, simulator, REDIS_TIMEOUT=str(TIMEOUT_S)) as made:
        yield made


async def refused(replica: Replica, method: str, path: str) -> tuple[str, object, object, bool]:
    began = time.monotonic()
    answer = await replica.http.request(method, path)
    late = time.monotonic() - began > TIMEOUT_S + SLACK_S
    return f"{method} {path}", answer.status_code, "retry-after" in answer.headers, late


async def everything_is_refused(replicas: list[Replica], requests: Sequence[tuple[str, str]] = REQUESTS) -> None:
    asked = [refused(replica, *request) for replica in replicas for request in requests]
    for answer in await asyncio.gather(*asked):
        assert answer[1:] == (503, True, False), answer
    for replica in replicas:
        assert (await replica.http.get("/health/live")).status_code == 200
        assert (await replica.http.get("/metrics")).status_code == 200


async def verbs_are_refused(client: SocketIoClient) -> list[Event]:
    """Returns what else was heard meanwhile."""
    asked = [client.call(verb, {"session": "a"}, timeout=TIMEOUT_S + SLACK_S) for verb in VERBS]
    for answer in await asyncio.gather(*asked):
        assert (answer["code"], answer["session"]) == ("redis_unavailable", "a"), answer
    heard: list[Event] = []
    wanted = {f"{verb}-error" for verb in VERBS}
    while wanted:
        heard.append(await client.next())
        wanted.discard(heard[-1][0])
    return heard


async def ready(replica: Replica, seconds: float = 10) -> dict[str, Any]:
    """Return when it says so, with what it says."""
    async with asyncio.timeout(seconds):
        while True:
            answer = await replica.http.get("/health/ready")
            if answer.status_code == 200:
                content: dict[str, Any] = answer.json()
                return content
            await asyncio.sleep(0.05)


def without_gap(numbers: list[int]) -> bool:
    return numbers[0] == 1 and all(after == before + 1 for before, after in pairwise(numbers))


def entries(heard: list[Event]) -> list[int]:
    """Numbers of the timeline entries of session b that were told."""
    return [data["seq"] for name, data in heard if name == "timeline-entry" and data["session"] == "b"]


@pytest.mark.invariant("I7")
async def test_killed_and_away_for_longer_than_a_heartbeat_lasts(
    replicas: Fleet, node: RedisNode, simulator: Simulator, js: SocketIoDriver
) -> None:
    one, two = await replicas.start(2)
    sessions = ["a", "b", "c", "d"]
    linked = await replicas.link(sessions, [one, two])
    code = (await one.post("/sessions/late/qr"))["text"]
    before = await standing(replicas, sessions)
    client = await js.connect(str(two.http.base_url))
    await client.call("subscribe", {"session": "b", "after": 0})
    async with following(one.http, "b") as follower:
        node.kill()
        fell = time.monotonic()
        # Two things happen at WhatsApp that must not be forgotten: a connection is lost, a code is scanned.
        await simulator.command("cut", phone=linked["b"].jid.partition(":")[0])
        scanning = asyncio.create_task(simulator.scan(code, timeout_ms=30_000))
        heard, _ = await asyncio.gather(verbs_are_refused(client), everything_is_refused([one, two]))
        await asyncio.sleep(max(0.0, AWAY_S - (time.monotonic() - fell)))
        assert (await simulator.counters()).totals["sockets_logged_in"] == 3
        node.start()

        for replica in (one, two):
            await ready(replica)
        await scanning
        await replicas.until(lambda: replicas.all_are([*sessions, "late"], Status.CONNECTED))
        await simulator.wait_for("digest", jid=scanning.result().jid)
        await asyncio.sleep(AWAY_S)  # long enough for anybody to take over what is not his
        assert [entry.event for entry in await replicas.timeline("b")].count(Cause.RECONNECT) == 1
        last = (await replicas.records(["b"]))["b"].seq
        await follower.until(last)
        assert without_gap(follower.numbers)
        heard += await client.until("timeline-entry", timeout=20, session="b", seq=last)
        assert without_gap(entries(heard))
    await stands_as(replicas, before, also_logged_in=["b"])
    await all_pre_keys_kept(replicas, simulator, [*sessions, "late"])
    await logs_in_again(one, replicas, "late")


async def logs_in_again(replica: Replica, replicas: Fleet, session: str) -> None:
    """The credentials in Redis are those that WhatsApp knows."""
    await replica.post(f"/sessions/{session}/stop")
    await replica.post(f"/sessions/{session}/start")
    await replicas.until(lambda: replicas.all_are([session], Status.CONNECTED))


async def test_frozen(replicas: Fleet, node: RedisNode, simulator: Simulator) -> None:
    """It takes connections and answers nothing. When it goes on, it first does all that it was sent meanwhile, what
    was answered 503 too; so nothing is asked here that would change a session."""
    fleet_of_three = await replicas.start(3)
    sessions = ["a", "b", "c"]
    await replicas.link(sessions, fleet_of_three)
    before = await standing(replicas, sessions)
    node.freeze()
    frozen = time.monotonic()
    harmless = [(method, path) for method, path in REQUESTS if method == "GET" or path == "/sessions/a/start"]
    await everything_is_refused(fleet_of_three, harmless)
    await asyncio.sleep(max(0.0, AWAY_S - (time.monotonic() - frozen)))
    node.thaw()
    for replica in fleet_of_three:
        await ready(replica)
    await asyncio.sleep(AWAY_S)
    await stands_as(replicas, before)


async def test_paused_for_less_than_anybody_waits(replicas: Fleet, node: RedisNode) -> None:
    """Slow answers are waited for, and what was asked twice is done once."""
    (one,) = await replicas.start(1, REDIS_TIMEOUT="5")
    with node.client() as client:
        client.execute_command("CLIENT PAUSE", "3000", "ALL")
    answers = await asyncio.gather(
        one.http.post("/sessions/a/start"), one.http.get("/status"), one.http.post("/force-reset")
    )
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [entry.event for entry in await replicas.timeline("default")] == ["created", "reset"]
    assert [entry.event for entry in await replicas.timeline("a")][:2] == ["created", "start"]
    assert len([entry for entry in await replicas.timeline("a") if entry.event == "start"]) == 1


async def test_connections_are_cut_all_the_time(replicas: Fleet, node: RedisNode, simulator: Simulator) -> None:
    """CLIENT KILL of everything, again and again, while sessions are linked: nobody notices."""
    one, two = await replicas.start(2)
    over = asyncio.Event()

    async def cut() -> int:
        times = 0
        while not over.is_set():
            with node.client() as client:
                client.execute_command("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
                client.execute_command("CLIENT KILL", "TYPE", "pubsub")
            times += 1
            await asyncio.sleep(0.1)
        return times

    cutting = asyncio.create_task(cut())
    try:
        sessions = ["a", "b", "c"]
        await replicas.link(sessions, [one, two])
    finally:
        over.set()
    assert await cutting > 2
    await all_pre_keys_kept(replicas, simulator, sessions)
    for session in sessions:
        timeline = await replicas.timeline(session)
        assert [entry.event for entry in timeline] == ["created", "start", "qr", "paired", "restart", "open"]
        assert [entry.seq for entry in timeline] == list(range(1, 7))


async def test_restarted_while_sessions_are_linked(replicas: Fleet, node: RedisNode, simulator: Simulator) -> None:
    """SIGKILL, and started at once: whatever WhatsApp was told is in the append-only file."""
    one, two = await replicas.start(2, REDIS_TIMEOUT="5")
    sessions = ["a", "b", "c"]
    linking = asyncio.create_task(replicas.link(sessions, [one, two]))
    for moment in ("paired", "prekey_count", "prekey_upload"):
        await simulator.wait_for(moment)
        await asyncio.to_thread(restart, node)
    await linking
    await all_pre_keys_kept(replicas, simulator, sessions)
    for session in sessions:
        await logs_in_again(one, replicas, session)


def restart(node: RedisNode) -> None:
    node.kill()
    node.start()


@pytest.mark.invariant("I5")
async def test_full(replicas: Fleet, node: RedisNode, simulator: Simulator) -> None:
    """What frees memory works; whatever would need some is answered with the reason."""
    one, two = await replicas.start(2)
    sessions = ["a", "b"]
    await replicas.link(sessions, [one, two])
    before = await standing(replicas, sessions)
    with node.client() as client:
        client.config_set("maxmemory", 1)
    for path in ("/sessions/new/start", "/sessions/b/stop", "/sessions/b/logout"):
        answer = await two.http.post(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "redis_unavailable")
        assert "memory" in answer.json()["detail"]
    assert (await two.http.get("/sessions/b")).json()["status"] == "connected"
    began = time.monotonic()
    reset = await two.http.post("/sessions/a/force-reset")
    assert reset.status_code == 200, reset.text
    assert time.monotonic() - began < SLACK_S
    assert not await replicas.redis.execute("EXISTS", replicas.keys.auth_hash("a"))
    await asyncio.sleep(AWAY_S)  # no heartbeat can be written, and nobody draws wrong conclusions
    assert (await simulator.counters()).totals["sockets_logged_in"] == 1
    with node.client() as client:
        client.config_set("maxmemory", 0)
    await replicas.until(lambda: two_workers(replicas))
    await asyncio.sleep(AWAY_S)
    del before.owners["a"], before.auth["a"], before.logins["a"]
    await stands_as(replicas, before)
    assert (await one.post("/sessions/a/qr"))["text"]


async def two_workers(replicas: Fleet) -> bool:
    return len(await replicas.workers()) == 2


async def test_reset_works_as_soon_as_redis_is_back(replicas: Fleet, node: RedisNode, simulator: Simulator) -> None:
    (one,) = await replicas.start(1)
    await replicas.link(["a"], [one])
    node.kill()
    answer = await one.http.post("/sessions/a/force-reset")
    assert answer.status_code == 503
    node.start()
    began = time.monotonic()
    while (answer := await one.http.post("/sessions/a/force-reset")).status_code == 503:
        assert time.monotonic() - began < SLACK_S
    assert answer.status_code == 200
    assert time.monotonic() - began < SLACK_S
    assert (await one.post("/sessions/a/qr"))["text"]
