"""Which events tell of which transitions."""

import pytest

from app.api import news
from app.model import Event, Record, Status, Transition
from app.sessions.service import Update

RECORD = Record(
    id="work", status=Status.CONNECTED, epoch=9, seq=5, owner="r", jid="1@s", retry_at=7, qr="SECRET", qr_id="9-2"
)


def entry(seq: int, event: Event, before: Status | None, after: Status, reason: str | None = None) -> Transition:
    return Transition(seq=seq, at=1000 + seq, event=event, from_status=before, to_status=after, epoch=8, reason=reason)


def told(*entries: Transition) -> list[tuple[str, int | None]]:
    return [(one.name, one.seq) for one in news.tell(Update(RECORD, list(entries)))]


def test_every_transition_is_told_with_how_the_session_stood_then() -> None:
    first = entry(4, Event.RECONNECT, Status.CONNECTED, Status.RECONNECTING, "network")
    last = entry(5, Event.OPEN, Status.CONNECTING, Status.CONNECTED)
    said = news.tell(Update(RECORD, [first, last]))
    assert [(one.name, one.seq) for one in said] == [
        ("timeline-entry", 4),
        ("session-status", 4),
        ("disconnected", 4),
        ("timeline-entry", 5),
        ("session-status", 5),
        ("ready", 5),
    ]
    then, now = said[1].data, said[4].data
    assert (then["status"], then["seq"], then["epoch"], then["reason"]) == ("reconnecting", 4, 8, "network")
    assert (then["jid"], then["qr_id"], then["updated_at"]) == ("1@s", None, "1970-01-01T00:00:01.004Z")
    assert (now["status"], now["seq"], now["epoch"]) == ("connected", 5, 9)
    assert "SECRET" not in str(said)
    assert said[0].data["session"] == "work"


@pytest.mark.parametrize(
    ("event", "before", "after"),
    [
        (Event.RECONNECT, Status.CONNECTED, Status.RECONNECTING),
        (Event.RESTART, Status.CONNECTED, Status.CONNECTING),
        (Event.STOP, Status.CONNECTED, Status.STOPPED),
        (Event.STOP, Status.RECONNECTING, Status.STOPPED),
        (Event.LOGOUT, Status.CONNECTED, Status.LOGGED_OUT),
        (Event.LOGOUT, Status.STOPPED, Status.LOGGED_OUT),
        (Event.LOGOUT, Status.LINKING, Status.LOGGED_OUT),
        (Event.FAIL, Status.QR, Status.FAILED),
        (Event.RESET, Status.CONNECTED, Status.IDLE),
        (Event.STOP, Status.QR, Status.IDLE),
    ],
)
def test_disconnected(event: Event, before: Status, after: Status) -> None:
    assert told(entry(5, event, before, after))[-1] == ("disconnected", 5)


@pytest.mark.parametrize(
    ("event", "before", "after"),
    [
        (Event.CREATED, None, Status.IDLE),
        (Event.START, Status.IDLE, Status.STARTING),
        (Event.QR, Status.QR, Status.QR),
        (Event.RETRY, Status.QR, Status.STARTING),
        (Event.RESTART, Status.LINKING, Status.LINKING),
        (Event.STOP_REQUESTED, Status.CONNECTED, Status.CONNECTED),
        (Event.RESET, Status.IDLE, Status.IDLE),
        (Event.RESET, Status.FAILED, Status.IDLE),
        (Event.CLAIM, Status.RECONNECTING, Status.RECONNECTING),
    ],
)
def test_not_disconnected(event: Event, before: Status | None, after: Status) -> None:
    assert told(entry(5, event, before, after)) == [("timeline-entry", 5), ("session-status", 5)]


def test_authenticated() -> None:
    assert told(entry(5, Event.PAIRED, Status.QR, Status.LINKING))[-1] == ("authenticated", 5)


def test_a_deletion_tells_nothing_here() -> None:
    assert news.tell(Update(None, [])) == []
