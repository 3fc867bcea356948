"""Which answer somebody gets who wants a QR code, for every status."""

import pytest

from app.errors import AlreadyLinked, QrTimeout, SessionFailed
from app.model import RUNNING, Record, Status
from app.sessions import qr
from app.sessions.reasons import Reason
from app.store.sessions import Reading

NOW = 1_000_000


def record(status: Status, **fields: object) -> Record:
    return Record(id="a", status=status, epoch=1, seq=1, **fields)  # type: ignore[arg-type]


def code(**fields: object) -> Record:
    known = {"qr": "text", "qr_id": "1-2", "qr_expires_at": NOW + 1, "qr_count": 2, "qr_limit": 6}
    return record(Status.QR, **(known | fields))


def test_a_code_on_offer() -> None:
    found = qr.offered(Reading(code(), NOW))
    assert found == qr.QrCode("a", "1-2", "text", NOW + 1, 2, 6)


@pytest.mark.invariant("I8")
@pytest.mark.parametrize("late", [0, 1, 60_000])
def test_an_expired_code_is_none(late: int) -> None:
    assert qr.offered(Reading(code(qr_expires_at=NOW - late), NOW)) is None


@pytest.mark.invariant("I8")
@pytest.mark.parametrize("status", sorted(set(Status) - {Status.QR}))
def test_no_other_status_offers_a_code(status: Status) -> None:
    left = record(status, qr="text", qr_id="1-2", qr_expires_at=NOW + 60_000, qr_count=1)
    assert qr.offered(Reading(left, NOW)) is None


def test_a_code_without_text_or_end_is_none() -> None:
    assert qr.offered(Reading(code(qr=None), NOW)) is None
    assert qr.offered(Reading(code(qr_expires_at=None), NOW)) is None


@pytest.mark.parametrize("status", Status)
def test_a_start_never_costs_a_link(status: Status) -> None:
    linked = record(status, jid="1@s.whatsapp.net")
    assert not qr.must_start(linked)
    if status in RUNNING | {Status.STOPPED}:
        assert not qr.must_start(record(status))
    else:
        assert qr.must_start(record(status))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (Status.STARTING, None),
        (Status.QR, None),
        (Status.LINKING, None),
        (Status.CONNECTING, None),
        (Status.CONNECTED, AlreadyLinked),
        (Status.RECONNECTING, AlreadyLinked),
        (Status.STOPPED, AlreadyLinked),
        (Status.IDLE, SessionFailed),
        (Status.LOGGED_OUT, SessionFailed),
        (Status.FAILED, SessionFailed),
    ],
)
def test_who_waits_is_told_when_no_code_can_come(status: Status, error: type[Exception] | None) -> None:
    refusal = qr.refusal(record(status))
    assert type(refusal) is (error or type(None))


def test_a_link_that_failed_says_what_to_do() -> None:
    refusal = qr.refusal(record(Status.FAILED, jid="1@s.whatsapp.net", reason=Reason.BANNED))
    assert isinstance(refusal, AlreadyLinked)
    assert refusal.next_action == "check_phone"


@pytest.mark.parametrize("status", [Status.STARTING, Status.QR, Status.LINKING, Status.CONNECTING])
def test_when_time_is_over(status: Status) -> None:
    undecided = status in (Status.LINKING, Status.CONNECTING)
    assert type(qr.too_late(record(status))) is (AlreadyLinked if undecided else QrTimeout)
