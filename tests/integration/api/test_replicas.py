"""Who runs what, as one replica tells of itself."""

from tests.support.face import Face


async def test_a_replica_lists_itself(face: Face) -> None:
    (replica,) = (await face.http.get("/replicas")).json()["replicas"]
    assert replica["this"] is True
    assert replica["id"] == face.relink.replicas.name
    assert (replica["accepting"], replica["held"], replica["held_for"]) == (True, 0, None)
    assert "session_ids" not in replica


async def test_it_names_the_sessions_it_runs_and_no_others(face: Face) -> None:
    await face.http.post("/sessions/shop-1/start")
    await face.http.post("/sessions/shop-2/start")
    await face.http.post("/sessions/shop-2/force-reset")
    (replica,) = (await face.http.get("/replicas?sessions=true")).json()["replicas"]
    assert replica["session_ids"] == ["shop-1"]


async def test_an_unknown_parameter_is_refused(face: Face) -> None:
    answer = await face.http.get("/replicas?owner=x")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
