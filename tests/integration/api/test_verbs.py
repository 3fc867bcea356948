"""Both faces of REST do the same, and say what they did."""

import itertools
import re

import pytest

from app.model import Status
from tests.support.face import Face

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def link(face: Face, session: str) -> str:
    """Have a phone scan the code of `session`; return when it is connected."""
    code = (await face.http.post(f"/sessions/{session}/qr")).json()
    jid = await face.engine.scan(code["text"])
    async for update in face.relink.service.follow(session):
        assert update.record is not None
        if update.record.status is Status.CONNECTED:
            break
    return jid


async def test_force_reset_works_as_the_issue_prints_it(face: Face) -> None:
    answer = await face.http.post("/force-reset")
    assert answer.status_code == 200
    body = answer.json()
    assert body["message"].startswith("Session default was reset")
    assert (body["session"], body["status"], body["record"]["reason"]) == ("default", "idle", "force_reset")


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "application/x-www-form-urlencoded"])
async def test_an_empty_body_is_no_body_whatever_its_type(face: Face, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = await face.http.post("/start-session", content=b"", headers=headers)
    assert answer.status_code == 200
    assert answer.json()["session"] == "default"


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"session": "work"}},
        {"params": {"session": "work"}},
        {"content": '{"session":"work"}'},
        {"content": '{"session":"work"}', "headers": {"content-type": "application/x-www-form-urlencoded"}},
    ],
    ids=["json", "query", "no content type", "as curl -d sends it"],
)
async def test_the_flat_face_finds_the_session(face: Face, request_: dict[str, object]) -> None:
    answer = await face.http.post("/start-session", **request_)  # type: ignore[arg-type]
    assert answer.status_code == 200
    assert answer.json()["session"] == "work"
    status = await face.http.get("/status", params={"session": "work"})
    assert status.json()["id"] == "work"
    assert (await face.http.get("/status")).json()["status"] == "idle"


async def test_the_record_has_all_fields_and_never_the_code(face: Face) -> None:
    code = (await face.http.post("/generate-qr")).json()
    record = (await face.http.get("/sessions/default")).json()
    assert record["status"] == "qr"
    assert record["qr_id"] == code["qr_id"]
    assert record["qr_expires_at"] == code["expires_at"]
    assert record["next_action"] == "scan_qr"
    assert record["detail"]
    for field in ("created_at", "updated_at", "qr_expires_at", "deadline_at"):
        assert TIME.fullmatch(record[field]), field
    assert set(record) >= {"epoch", "seq", "owner", "reason", "code", "attempt", "retry_at", "qr_count", "jid"}
    assert code["text"] not in str(record)
    assert (await face.http.get("/status")).json() == record


async def test_logout_tells_whatsapp_and_says_so(face: Face) -> None:
    jid = await link(face, "default")
    body = (await face.http.post("/logout")).json()
    assert body["unlinked"] is True
    assert "WhatsApp was told" in body["message"]
    assert body["status"] == "logged_out"
    assert face.engine.unlinked == [jid]


async def test_logout_says_when_there_was_nothing_to_unlink(face: Face) -> None:
    body = (await face.http.post("/sessions/default/logout")).json()
    assert body["unlinked"] is False
    assert "not linked" in body["message"]


async def test_the_resource_face_takes_a_session_through_its_life(face: Face) -> None:
    await link(face, "work")
    stopped = (await face.http.post("/sessions/work/stop")).json()
    assert (stopped["status"], stopped["session"]) == ("stopped", "work")
    started = (await face.http.post("/sessions/work/start")).json()
    assert started["status"] in ("connecting", "connected")
    reset = (await face.http.post("/sessions/work/force-reset")).json()
    assert reset["status"] == "idle"
    deleted = await face.http.delete("/sessions/work")
    assert deleted.json() == {"message": "Session work was deleted.", "session": "work"}
    assert (await face.http.get("/sessions/work")).status_code == 404


async def test_generate_qr_says_that_a_linked_session_needs_none(face: Face) -> None:
    await link(face, "default")
    answer = await face.http.post("/generate-qr")
    assert answer.status_code == 409
    assert answer.json()["code"] == "already_linked"
    assert answer.json()["next_action"] == "logout"


async def test_generate_qr_waits_no_longer_than_it_is_told(face: Face) -> None:
    face.engine.silent = True
    answer = await face.http.post("/generate-qr", json={"wait": 0.2})
    assert answer.status_code == 504
    assert answer.json()["code"] == "qr_timeout"
    assert answer.elapsed.total_seconds() < 2


async def test_the_list_pages_through_all_sessions_in_order(face: Face) -> None:
    for name in ("b", "a2", "a1", "c"):
        await face.http.post(f"/sessions/{name}/start")
    seen: list[str] = []
    after = ""
    while True:
        page = (await face.http.get("/sessions", params={"limit": 2, "after": after})).json()
        assert len(page["sessions"]) <= 2
        seen += [record["id"] for record in page["sessions"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == ["a1", "a2", "b", "c", "default"]
    by_prefix = (await face.http.get("/sessions", params={"prefix": "a"})).json()
    assert [record["id"] for record in by_prefix["sessions"]] == ["a1", "a2"]


async def test_the_timeline_has_every_transition_once(face: Face) -> None:
    await link(face, "default")
    everything = (await face.http.get("/sessions/default/timeline", params={"after": 0, "limit": 1000})).json()
    entries = everything["entries"]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert everything["next"] is None
    assert [entry["event"] for entry in entries][-1] == "open"
    assert all(before["to"] == entry["from"] for before, entry in itertools.pairwise(entries))
    newest = (await face.http.get("/sessions/default/timeline", params={"limit": 2})).json()
    assert newest["entries"] == entries[-2:]
    page = (await face.http.get("/sessions/default/timeline", params={"after": 1, "limit": 1})).json()
    assert page["entries"] == entries[1:2]
    assert page["next"] == 2


async def test_a_get_changes_nothing(face: Face) -> None:
    await face.http.post("/generate-qr")
    before = await face.records()
    for path in (
        "/status",
        "/sessions",
        "/sessions/default",
        "/sessions/default/qr",
        "/sessions/default/timeline",
        "/sessions/nobody",
        "/sessions/nobody/qr",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/",
    ):
        answer = await face.http.get(path)
        assert answer.status_code in (200, 404), path
        head = await face.http.head(path)
        assert head.status_code == answer.status_code, path
        assert head.content == b""
    assert await face.records() == before


async def test_health_and_metrics(face: Face) -> None:
    assert (await face.http.get("/health/live")).json() == {"status": "ok", "checks": {}}
    assert (await face.http.get("/health/ready")).json() == {"status": "ok", "checks": {"redis": "ok", "engine": "ok"}}
    await face.http.post("/generate-qr")
    metrics = (await face.http.get("/metrics")).text
    assert 'relink_sessions{status="qr"} 1.0' in metrics
    assert 'relink_transitions_total{event="start",reason=""} 1.0' in metrics
    assert "relink_qr_codes_total 1.0" in metrics
    assert 'relink_redis_seconds_count{operation="start"} 1.0' in metrics
    assert 'relink_http_seconds_count{method="POST",route="/generate-qr",status="200"} 1.0' in metrics
