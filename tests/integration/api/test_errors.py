"""Every error is a problem that helps, and changes nothing."""

import asyncio
import json
import os
import signal
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.sessions.reasons import ACTIONS
from tests.support.face import Face, serving
from tests.support.redis_server import RedisServer

VERBS = ["/start-session", "/generate-qr", "/logout", "/force-reset"]


def check_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The answer's body, which is a whole problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == f"urn:relink:problem:{body['code']}"
    assert body["title"]
    assert len(body["detail"]) > 10
    assert body["instance"] == quote(answer.request.url.path)
    assert body["next_action"] in ACTIONS
    if code is not None:
        assert body["code"] == code
    return body


ADDRESSES = [
    ("GET", "/nowhere", 404, "route_not_found"),
    ("GET", "/status/", 404, "route_not_found"),
    ("GET", "/sessions/nobody", 404, "session_not_found"),
    ("GET", "/status?session=nobody", 404, "session_not_found"),
    ("POST", "/sessions/nobody/logout", 404, "session_not_found"),
    ("POST", "/sessions/nobody/stop", 404, "session_not_found"),
    ("POST", "/sessions/nobody/force-reset", 404, "session_not_found"),
    ("DELETE", "/sessions/nobody", 404, "session_not_found"),
    ("GET", "/sessions/nobody/timeline", 404, "session_not_found"),
    ("GET", "/sessions/nobody/events", 404, "session_not_found"),
    ("GET", "/sessions/nobody/qr", 404, "session_not_found"),
    ("GET", "/sessions/a%20b", 422, "invalid_session_id"),
    ("POST", "/sessions/a%0a/start", 422, "invalid_session_id"),
    ("POST", "/sessions/%ff/force-reset", 422, "invalid_session_id"),
    ("GET", "/sessions/.x/timeline", 422, "invalid_session_id"),
    ("POST", f"/sessions/{'x' * 65}/qr", 422, "invalid_session_id"),
    ("GET", "/sessions?limit=0", 422, "invalid_request"),
    ("GET", "/sessions?limit=a", 422, "invalid_request"),
    ("GET", "/sessions?page=2", 422, "invalid_request"),
    ("GET", "/sessions?after=a/b", 422, "invalid_session_id"),
    ("GET", "/sessions/default/timeline?after=-1", 422, "invalid_request"),
    ("GET", "/sessions/default/events?after=x", 422, "invalid_request"),
    ("GET", "/status?sesion=work", 422, "invalid_request"),
    ("GET", "/status?session=", 422, "invalid_session_id"),
    ("POST", "/force-reset?session=a&session=b", 422, "invalid_request"),
    ("POST", "/force-reset?sesion=work", 422, "invalid_request"),
    ("POST", "/generate-qr?wait=0", 422, "invalid_request"),
    ("POST", "/generate-qr?wait=nan", 422, "invalid_request"),
    ("POST", "/generate-qr?wait=1e9", 422, "invalid_request"),
    ("POST", "/sessions/default/start?x=1", 422, "invalid_request"),
]


async def test_wrong_addresses_and_parameters(face: Face) -> None:
    before = await face.records()
    for method, path, status, code in ADDRESSES:
        answer = await raw(face, method, path)
        body = check_problem(answer, status, code)
        if code == "session_not_found":
            assert body["session"] == "nobody", path
            assert body["next_action"] == "start", path
    assert await face.records() == before


async def raw(face: Face, method: str, path: str) -> httpx.Response:
    """Send the path as it stands, as curl --path-as-is does."""
    url = httpx.URL(face.url).copy_with(raw_path=path.encode())
    return await face.http.request(method, url)


BODIES: list[tuple[bytes, str | None, int, str]] = [
    (b"{bad", "application/json", 422, "invalid_request"),
    (b"{bad", None, 422, "invalid_request"),
    (b"[]", "application/json", 422, "invalid_request"),
    (b"null", "application/json", 422, "invalid_request"),
    (b'"default"', "application/json", 422, "invalid_request"),
    (b'{"session": null}', "application/json", 422, "invalid_request"),
    (b'{"session": 7}', "application/json", 422, "invalid_request"),
    (b'{"session": ["default"]}', "application/json", 422, "invalid_request"),
    (b'{"session": ""}', "application/json", 422, "invalid_session_id"),
    (b'{"session": "a b"}', "application/json", 422, "invalid_session_id"),
    (b'{"session": "\\ud800"}', "application/json", 422, "invalid_session_id"),
    (b'{"sesion": "work"}', "application/json", 422, "invalid_request"),
    (b'{"session": "\xff"}', "application/json", 422, "invalid_request"),
    (b"[" * 50_000, "application/json", 422, "invalid_request"),
    (b'{"session": ' + b"9" * 5_000 + b"}", "application/json", 422, "invalid_request"),
    (b"session=work", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    (b"<session>work</session>", "application/xml", 415, "unsupported_media_type"),
    (b"x", "multipart/form-data; boundary=x", 415, "unsupported_media_type"),
    (b"{}" + b" " * 70_000, "application/json", 413, "body_too_large"),
]


@pytest.mark.parametrize("path", [*VERBS, "/sessions/default/force-reset"])
async def test_wrong_bodies(face: Face, path: str) -> None:
    before = await face.records()
    for content, content_type, status, code in BODIES:
        headers = {"content-type": content_type} if content_type else {}
        check_problem(await face.http.post(path, content=content, headers=headers), status, code)
    assert await face.records() == before


async def test_a_body_without_a_length_is_limited_too(face: Face) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 10_000

    before = await face.records()
    check_problem(await face.http.post("/force-reset", content=endless()), 413, "body_too_large")
    assert await face.records() == before


async def test_a_request_names_its_session_once(face: Face) -> None:
    before = await face.records()
    both = await face.http.post("/force-reset", params={"session": "default"}, json={"session": "default"})
    check_problem(both, 422, "invalid_request")
    contradiction = await face.http.post("/sessions/default/force-reset", json={"session": "work"})
    check_problem(contradiction, 422, "invalid_request")
    assert await face.records() == before
    assert (await face.http.post("/sessions/default/force-reset", json={"session": "default"})).status_code == 200


async def test_a_wrong_method_is_told_the_right_ones(face: Face) -> None:
    before = await face.records()
    for path, allowed in {
        "/status": "GET",
        "/force-reset": "POST",
        "/sessions": "GET",
        "/sessions/default": "GET, DELETE",
        "/sessions/default/qr": "GET, POST",
        "/sessions/default/events": "GET",
        "/health/live": "GET",
        "/": "GET",
    }.items():
        for method in ("PUT", "PATCH", "PURGE", "OPTIONS"):
            answer = await face.http.request(method, path)
            check_problem(answer, 405, "method_not_allowed")
            assert answer.headers["allow"] == allowed
    assert await face.records() == before


async def test_a_bug_tells_the_caller_nothing_of_itself(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(session: str) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(type(face.relink.service), "get", lambda self, session: broken(session))
    answer = await face.http.get("/status")
    body = check_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert body["next_action"] == "report"


async def test_without_redis_the_answer_is_503_and_when_to_come_back(redis: RedisServer) -> None:
    async with serving(redis.url, redis_timeout=0.3) as face:
        os.kill(redis.process.pid, signal.SIGSTOP)
        try:
            answers = await asyncio.gather(
                face.http.get("/status"),
                face.http.post("/force-reset"),
                face.http.post("/generate-qr"),
                face.http.get("/sessions"),
            )
            ready = await face.http.get("/health/ready")
            live = await face.http.get("/health/live")
            metrics = await face.http.get("/metrics")
        finally:
            os.kill(redis.process.pid, signal.SIGCONT)
        for answer in answers:
            check_problem(answer, 503, "redis_unavailable")
            assert int(answer.headers["retry-after"]) > 0
        assert "redis" in check_problem(ready, 503, "not_ready")["checks"]
        assert live.status_code == 200
        assert metrics.status_code == 200


# Anything at all.


async def settled(face: Face) -> dict[str, object]:
    """What Redis holds once the sessions that were just started have got as far as they get by themselves."""
    while True:
        before = await face.records()
        await asyncio.sleep(0.02)
        if before == await face.records():
            return before


SESSION = st.one_of(st.sampled_from(["default", "work", "", ".", "a b", "x" * 65, "\x00", "é", "../x"]), st.text())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.sampled_from(["session", "wait", "after", "x", ""]) | st.text(), SESSION | JSON, max_size=4)
BODY = st.one_of(st.none(), st.binary(max_size=200), (FIELDS | JSON).map(lambda value: json.dumps(value).encode()))
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["application/json", "text/plain", "x", "application/x-www-form-urlencoded"]),
        "accept": st.sampled_from(["*/*", "image/png", "q", ";;;", "image/*;q=x", "text/html", ""]),
        "last-event-id": st.sampled_from(["1", "x", "-1", "9" * 30]),
    },
)
READS = ["/status", "/sessions", "/sessions/{}", "/sessions/{}/timeline", "/sessions/{}/qr", "/health/live", "/{}"]
WRITES = [*VERBS, "/sessions/{}/start", "/sessions/{}/qr", "/sessions/{}/logout", "/sessions/{}/stop", "/sessions/{}"]
QUERY = st.lists(st.tuples(st.sampled_from(["session", "limit", "after", "prefix", "format", "wait", "x"]), st.text()))


@pytest.mark.slow
@pytest.mark.invariant("I11")
def test_random_requests_break_nothing_and_errors_change_nothing(redis: RedisServer) -> None:
    """Never a 5xx; whatever was answered with an error, and every GET, left Redis as it was."""

    async def one(
        face: Face, method: str, path: str, query: list[tuple[str, str]], body: bytes | None, headers: dict[str, str]
    ) -> None:
        before = await settled(face)
        url = httpx.URL(face.url + path, params=query)
        answer = await face.http.request(method, url, content=body, headers=headers)
        answer = await face.http.request(method, url, content=body, headers=headers)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
        if answer.status_code >= 400 or method == "GET":
            assert await face.records() == before, (method, url, body)

    # The loop stands still while hypothesis draws: the service's own use of chance would look like the strategies'.
    with asyncio.Runner() as runner:
        replica = serving(redis.url)
        face = runner.run(replica.__aenter__())

        @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            call=st.tuples(st.just("GET"), st.sampled_from(READS))
            | st.tuples(st.sampled_from(["POST", "DELETE", "PUT"]), st.sampled_from(WRITES)),
            session=SESSION,
            query=QUERY,
            body=BODY,
            headers=HEADERS,
        )
        def run(
            call: tuple[str, str],
            session: str,
            query: list[tuple[str, str]],
            body: bytes | None,
            headers: dict[str, str],
        ) -> None:
            method, path = call
            safe = quote(session.encode("utf-8", "surrogatepass"), safe="")
            runner.run(one(face, method, path.format(safe), query, body, headers))

        try:
            run()
            assert runner.run(face.http.get("/health/ready")).status_code == 200
        finally:
            runner.run(replica.__aexit__(None, None, None))
