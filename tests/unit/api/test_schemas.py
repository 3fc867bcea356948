"""What the service says is what its description promises."""

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import examples, models
from app.api.errors import InternalError
from app.api.problems import problem_json
from app.api.schemas import dump, logout_json, qr_json, record_json, rfc3339, transition_json, verb_json
from app.errors import RelinkError
from app.main import create_app
from app.model import PER_LINK_FIELDS, Event, Intent, Record, Status, Transition
from app.sessions.qr import QrCode
from app.sessions.reasons import ACTIONS, Reason
from app.sessions.service import LoggedOut
from app.settings import Settings

MS = st.integers(0, 4_000_000_000_000)
TEXT = st.none() | st.text(max_size=20)
RECORDS = st.builds(
    Record,
    id=st.just("default"),
    status=st.sampled_from(Status),
    epoch=MS,
    seq=MS,
    owner=st.sampled_from(["", "relink-1"]),
    intent=st.none() | st.sampled_from(Intent),
    reason=st.none() | st.sampled_from(Reason) | st.just("from_a_newer_version"),
    code=st.none() | st.integers(400, 600),
    attempt=st.integers(0, 9),
    retry_at=st.none() | MS,
    deadline_at=st.none() | MS,
    qr=st.just("SECRET-QR-TEXT"),
    qr_id=TEXT,
    qr_expires_at=st.none() | MS,
    jid=TEXT,
    name=TEXT,
    platform=TEXT,
    created_at=MS,
    updated_at=MS,
    connected_at=st.none() | MS,
)
INTERNAL = {"qr", "cleared", "intent_deadline_at", "qr_limit"}
"""Fields of the record that callers do not see."""


@given(RECORDS)
def test_a_record_is_what_is_described(record: Record) -> None:
    body = json.loads(dump(record_json(record)))
    models.Session.model_validate(body)
    assert set(body) == set(models.Session.model_fields)
    assert set(body) == ({field.name for field in fields(Record)} - INTERNAL) | {"detail", "next_action"}
    assert "SECRET" not in str(body)
    assert body["next_action"] in ACTIONS
    models.Done.model_validate(json.loads(dump(verb_json("done", record))))
    for unlinked, was_linked in ((True, True), (False, True), (False, False)):
        answer = logout_json(LoggedOut(record, unlinked=unlinked, was_linked=was_linked))
        models.LoggedOut.model_validate(json.loads(dump(answer)))


@given(
    st.builds(
        Transition,
        seq=MS,
        at=MS,
        event=st.sampled_from(Event),
        from_status=st.none() | st.sampled_from(Status),
        to_status=st.sampled_from(Status),
        epoch=MS,
        reason=st.none() | st.sampled_from(Reason) | st.just("from_a_newer_version"),
        note=TEXT,
    )
)
def test_a_timeline_entry_is_what_is_described(entry: Transition) -> None:
    body = json.loads(dump(transition_json(entry)))
    models.TimelineEntry.model_validate(body)
    assert set(body) == {field.alias or name for name, field in models.TimelineEntry.model_fields.items()}


def test_a_code_is_what_is_described() -> None:
    code = QrCode(session="default", qr_id="7-3", text="https://wa.me/x", expires_at=1, attempt=1, limit=6)
    body = json.loads(dump(qr_json(code)))
    models.Qr.model_validate(body)
    assert body["data_url"].startswith("data:image/png;base64,iVBOR")


def test_times() -> None:
    assert rfc3339(None) is None
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_772_366_400_007) == "2026-03-01T12:00:00.007Z"


def test_no_field_of_a_link_is_forgotten() -> None:
    assert set(PER_LINK_FIELDS) - INTERNAL <= set(models.Session.model_fields)


def test_text_that_is_no_unicode_can_still_be_sent() -> None:
    assert json.loads(dump({"detail": "\ud800"})) == {"detail": "\ud800"}


def all_errors(base: type[RelinkError] = RelinkError) -> Iterator[type[RelinkError]]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith("app."):
            yield kind
            yield from all_errors(kind)


@pytest.mark.parametrize("kind", sorted(set(all_errors()), key=str))
def test_every_error_says_what_to_do(kind: type[RelinkError]) -> None:
    error = InternalError() if kind is InternalError else kind("What went wrong.")
    assert error.next_action in ACTIONS
    body = problem_json(error, "/x")
    models.Problem.model_validate(body)
    assert 400 <= error.status < 600
    assert kind.status != 503 or error.retry_after


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(_env_file=None)).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_description_has_every_call(document: dict[str, Any]) -> None:
    assert {name for name, _ in operations(document)} == {
        "GET /status",
        "POST /start-session",
        "POST /generate-qr",
        "POST /logout",
        "POST /force-reset",
        "GET /sessions",
        "GET /sessions/{id}",
        "DELETE /sessions/{id}",
        "POST /sessions/{id}/start",
        "POST /sessions/{id}/stop",
        "POST /sessions/{id}/logout",
        "POST /sessions/{id}/force-reset",
        "GET /sessions/{id}/qr",
        "POST /sessions/{id}/qr",
        "GET /sessions/{id}/timeline",
        "GET /sessions/{id}/events",
        "GET /replicas",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
    }


def test_every_answer_and_every_error_has_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        for status, answer in operation["responses"].items():
            for media_type, content in answer["content"].items():
                shown = "example" in content or content.get("examples")
                assert shown or media_type in ("image/png", "image/svg+xml", "text/plain"), (name, status, media_type)
                if int(status) >= 400:
                    assert media_type == "application/problem+json"
                    for code, example in content["examples"].items():
                        models.Problem.model_validate(example["value"])
                        assert (example["value"]["code"], example["value"]["status"]) == (code, int(status))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "$ref":
                    yield value
                else:
                    yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    schemas = document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


def test_path_parameters_are_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        described = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
        assert described == ({"id"} if "{id}" in name else set()), name


def test_examples_are_what_is_described() -> None:
    models.Session.model_validate(examples.SESSION)
    models.Qr.model_validate(examples.QR)
    models.SessionPage.model_validate(examples.PAGE)
    models.Timeline.model_validate(examples.TIMELINE)
    models.Deleted.model_validate(examples.DELETED)
    models.Health.model_validate(examples.HEALTHY)
    models.LoggedOut.model_validate(examples.LOGGED_OUT)
    for example in (examples.STARTED, examples.STOPPED, examples.RESET):
        models.Done.model_validate(example)
