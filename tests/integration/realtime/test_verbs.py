"""Every event that a client sends is answered, with success or with an error that helps."""

import asyncio
import os
import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.realtime.verbs import VERBS
from app.sessions.reasons import ACTIONS
from tests.support.face import Face, serving
from tests.support.redis_server import RedisServer
from tests.support.socketio_client import SocketIoClient, SocketIoDriver, socketio_driver

pytestmark = pytest.mark.bridge


async def answer_to(client: SocketIoClient, verb: str, *args: object) -> tuple[str, Any, Any]:
    """The answering event's name and payload, and the acknowledgement."""
    ack = await client.call(verb, *args)
    event, payload = (await client.until(f"{verb}-success" if ack["ok"] else f"{verb}-error"))[-1]
    return event, payload, ack


def check_error(event: str, payload: Any, ack: Any, code: str | None = None) -> None:
    assert event.endswith("-error")
    assert set(payload) == {"error", "code", "next_action", "session"}
    assert ack == {"ok": False, **payload}
    assert len(payload["error"]) > 10
    assert payload["next_action"] in ACTIONS
    assert code in (None, payload["code"])


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_session_goes_through_its_life(face: Face, js: SocketIoDriver, transport: str) -> None:
    client = await js.connect(face.url, transports=[transport])
    event, payload, ack = await answer_to(client, "start-session")
    assert (payload["session"], payload["record"]["id"]) == ("default", "default")
    assert ack == {"ok": True, **payload}
    _, code, _ = await answer_to(client, "generate-qr", {})
    assert code["text"].startswith("https://wa.me/")
    assert set(code) == {"session", "qr_id", "text", "data_url", "expires_at", "attempt", "limit"}
    jid = await face.engine.scan(code["text"])
    ready = (await client.until("ready"))[-1][1]
    assert (ready["session"], ready["jid"]) == ("default", jid)
    _, stopped, _ = await answer_to(client, "stop-session", {"session": "default"})
    assert stopped["status"] == "stopped"
    _, out, _ = await answer_to(client, "logout", {"session": "default"})
    assert out["unlinked"] is True
    assert out["message"]
    event, reset, ack = await answer_to(client, "force-reset", {"session": "default"})
    assert event == "force-reset-success"
    assert (reset["session"], reset["status"]) == ("default", "idle")
    assert reset["message"].startswith("Session default was reset")


async def test_an_answer_comes_without_an_acknowledgement_too(face: Face, js: SocketIoDriver) -> None:
    client = await js.connect(face.url)
    await client.emit("force-reset")
    assert (await client.until("force-reset-success"))[-1][1]["session"] == "default"
    await client.emit("force-reset", {"session": "nobody"})
    error = (await client.until("force-reset-error"))[-1][1]
    assert (error["code"], error["session"], error["next_action"]) == ("session_not_found", "nobody", "start")


BAD = ["text", 7, True, None, [], [{}], {"session": 7}, {"session": None}, {"session": ""}, {"session": "a b"}]
BAD += [{"session": {"$ne": 1}}, {"sesion": "work"}, {"session": "x" * 500_000}, {"session": "\ud800"}, {"wait": "x"}]


@pytest.mark.parametrize("verb", sorted(VERBS))
async def test_bad_payloads(face: Face, js: SocketIoDriver, verb: str) -> None:
    client = await js.connect(face.url)
    before = await face.records()
    for payload in BAD:
        check_error(*await answer_to(client, verb, payload))
    check_error(*await answer_to(client, verb, {}, {}), code="invalid_request")
    assert await face.records() == before


@pytest.mark.parametrize("verb", ["stop-session", "logout", "force-reset", "subscribe"])
async def test_unknown_sessions(face: Face, js: SocketIoDriver, verb: str) -> None:
    client = await js.connect(face.url)
    event, payload, ack = await answer_to(client, verb, {"session": "nobody"})
    check_error(event, payload, ack, "session_not_found")
    assert payload["session"] == "nobody"


async def test_unknown_events_are_answered(face: Face, js: SocketIoDriver) -> None:
    client = await js.connect(face.url)
    for name in ("start", "force_reset", "*", "x" * 200):
        ack = await client.call(name, {"session": "default"})
        assert ack["ok"] is False
        assert ack["code"] == "unknown_event"
        assert "force-reset" in ack["error"]
    assert (await client.until("start-error"))[-1][1]["code"] == "unknown_event"


async def test_a_bug_is_answered_and_tells_nothing_of_itself(
    face: Face, js: SocketIoDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: object, session: str) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(type(face.relink.service), "force_reset", broken)
    client = await js.connect(face.url)
    event, payload, ack = await answer_to(client, "force-reset")
    check_error(event, payload, ack, "internal_error")
    assert "secret" not in str(payload)


async def test_without_redis_every_verb_is_answered(redis: RedisServer, js: SocketIoDriver) -> None:
    async with serving(redis.url, redis_timeout=0.3) as face:
        client = await js.connect(face.url)
        await client.until("session-status")
        os.kill(redis.process.pid, signal.SIGSTOP)
        try:
            for verb in sorted(set(VERBS) - {"unsubscribe"}):
                check_error(*await answer_to(client, verb), code="redis_unavailable")
        finally:
            os.kill(redis.process.pid, signal.SIGCONT)
        await answer_to(client, "force-reset")


async def test_a_failing_generate_qr_says_why(face: Face, js: SocketIoDriver) -> None:
    face.engine.silent = True
    client = await js.connect(face.url)
    event, payload, ack = await answer_to(client, "generate-qr", {"wait": 0.1})
    check_error(event, payload, ack, "qr_timeout")
    assert payload["session"] == "default"


async def test_one_that_floods_slows_no_other_and_is_answered_all_the_same(face: Face, js: SocketIoDriver) -> None:
    face.engine.silent = True  # so that generate-qr waits
    flooder, other = await js.connect(face.url), await js.connect(face.url)
    waits = [asyncio.create_task(flooder.call("generate-qr", {"wait": 3}, timeout=20)) for _ in range(60)]
    for _ in range(400):
        await flooder.emit("nonsense", {"x": 1})
    slowest = 0.0
    loop = asyncio.get_running_loop()
    for _ in range(20):
        began = loop.time()
        assert (await other.call("unsubscribe", {"session": "x"}))["ok"]
        slowest = max(slowest, loop.time() - began)
    assert slowest < 1
    codes = [answer["code"] for answer in await asyncio.gather(*waits)]
    assert set(codes) == {"qr_timeout", "too_many_requests"}
    assert codes.count("too_many_requests") == 60 - 32


@pytest.mark.slow
@pytest.mark.invariant("I11")
def test_random_events_break_nothing_and_errors_change_nothing(redis: RedisServer) -> None:
    value = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**40), 2**40)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
        max_leaves=6,
    )
    fields = st.dictionaries(st.sampled_from(["session", "after", "wait", "x"]), value | st.just("default"), max_size=3)
    name = st.sampled_from(sorted(set(VERBS) - {"generate-qr", "start-session"})) | st.text(min_size=1, max_size=80)

    async def one(face: Face, client: SocketIoClient, event: str, args: list[object]) -> None:
        before = await face.records()
        answer = await client.call(event, *args)
        assert isinstance(answer["ok"], bool)
        if not answer["ok"]:
            assert answer["code"] not in ("internal_error", None)
            assert await face.records() == before, (event, args)

    # The loop stands still while hypothesis draws: the service's own use of chance would look like the strategies'.
    with asyncio.Runner() as runner:
        replica, driver = serving(redis.url), socketio_driver()
        face = runner.run(replica.__aenter__())
        js = runner.run(driver.__aenter__())
        client = runner.run(js.connect(face.url))

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(name, st.lists(fields | value, max_size=2))
        def run(event: str, args: list[object]) -> None:
            if event not in (
                "connect",
                "connect_error",
                "disconnect",
                "disconnecting",
                "newListener",
                "removeListener",
            ):
                runner.run(one(face, client, event, args))

        try:
            run()
        finally:
            runner.run(driver.__aexit__(None, None, None))
            runner.run(replica.__aexit__(None, None, None))
