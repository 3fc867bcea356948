"""What sockets report and deadlines bring, as changes of the record: pure, so every case can be walked."""

import itertools

import pytest

from app.engine.base import Closed, LoggedIn, Paired, PasskeyDemanded, QrOffered
from app.model import CLEARED, RUNNING, Change, Event, Intent, Record, Status
from app.sessions import machine, watcher
from app.sessions.policy import Backoff
from app.sessions.reasons import REASONS, Reason
from app.sessions.timing import QR_GRACE_MS, Timing

TIMING = Timing(
    start_ms=1, link_ms=2, connect_ms=3, logout_ms=4, stop_ms=5, backoff=Backoff(60_000, 60_000, lambda: 0.5)
)
CODES = [None, 401, 402, 403, 405, 408, 411, 428, 440, 500, 503, 515]
HELD = [Status.STARTING, Status.QR, Status.LINKING, Status.CONNECTING, Status.CONNECTED]


def record(status: Status, **fields: object) -> Record:
    return Record(id="a", status=status, epoch=7, seq=3, **fields)  # type: ignore[arg-type]


def lost(before: Record, code: int | None, message: str = "") -> Change:
    known = watcher.lost(before, Closed(code, message), attempt=0, previous=None, restarts=0)
    return watcher.on_lost(known, before, TIMING)


def waits_bounded(change: Change) -> bool:
    return change.status not in RUNNING - {Status.CONNECTED} or bool(
        change.deadline_in_ms is not None or change.retry_in_ms is not None
    )


@pytest.mark.invariant("I9")
@pytest.mark.parametrize(("status", "code"), list(itertools.product(HELD, CODES)))
def test_every_close_in_every_status_leads_somewhere_with_an_end(status: Status, code: int | None) -> None:
    change = lost(record(status), code)
    assert change.status is machine.after(status, change.event)
    assert waits_bounded(change)
    assert change.reason is None or change.reason in REASONS


@pytest.mark.invariant("I9")
@pytest.mark.parametrize("status", sorted(RUNNING - {Status.CONNECTED, Status.RECONNECTING}))
@pytest.mark.parametrize("intent", [None, *Intent])
def test_every_deadline_leads_to_another_status_with_a_reason(status: Status, intent: Intent | None) -> None:
    change = watcher.on_deadline(record(status, intent=intent), TIMING)
    assert change.status is not status
    assert change.reason in REASONS
    assert waits_bounded(change)


@pytest.mark.invariant("I3")
@pytest.mark.invariant("I4")
@pytest.mark.parametrize("status", HELD)
def test_a_logout_clears_and_leaves_nothing_to_do(status: Status) -> None:
    change = lost(record(status), 401)
    assert (change.event, change.status, change.clear) == (Event.LOGOUT, Status.LOGGED_OUT, True)
    assert (change.retry_in_ms, change.deadline_in_ms) == (None, None)


@pytest.mark.parametrize(("status", "code"), list(itertools.product(HELD, CODES)))
def test_credentials_go_only_with_the_link(status: Status, code: int | None) -> None:
    """A link is thrown away for 401 and 411 alone; what is cleared otherwise was never linked."""
    change = lost(record(status), code)
    if change.clear:
        assert code in (401, 411) or status not in watcher.LINKED
    if change.status in CLEARED:
        assert change.clear


@pytest.mark.invariant("I6")
@pytest.mark.parametrize("code", CODES)
def test_while_logging_out_every_end_is_a_clear(code: int | None) -> None:
    change = lost(record(Status.CONNECTING, intent=Intent.LOGOUT), code)
    assert change.status is not Status.FAILED
    if change.status is Status.LOGGED_OUT:
        assert change.reason == (Reason.API_LOGOUT if code == 401 else Reason.API_LOGOUT_UNCONFIRMED)
    elif change.retry_in_ms is not None:
        assert change.retry_in_ms <= watcher.LOGOUT_RETRY_MS


def test_a_code_is_named_by_its_place_in_the_history() -> None:
    change = watcher.on_qr(record(Status.QR), QrOffered("text", 20_000, 2, 6))
    assert change.set == {"qr": "text", "qr_id": "7-4", "qr_count": 2, "qr_limit": 6}
    assert change.deadline_in_ms == 20_000 + QR_GRACE_MS


def test_what_is_not_known_of_the_phone_does_not_erase_what_is() -> None:
    change = watcher.on_login(record(Status.CONNECTING, name="N"), LoggedIn("1@s", None, None))
    assert change.set == {"jid": "1@s"}
    assert watcher.on_paired(record(Status.QR), Paired("1@s", "N", "android"), TIMING).set == {
        "jid": "1@s",
        "name": "N",
        "platform": "android",
    }


def test_a_passkey_ends_the_attempt() -> None:
    change = watcher.on_passkey(record(Status.QR), PasskeyDemanded())
    assert (change.status, change.reason, change.clear) == (Status.FAILED, Reason.PASSKEY_REQUIRED, True)


@pytest.mark.parametrize("status", sorted(RUNNING))
def test_letting_go_keeps_the_session_running_for_somebody_else(status: Status) -> None:
    change = watcher.released(record(status, retry_at=99), TIMING)
    assert change.status in RUNNING
    assert change.bump
    assert not change.clear
    assert change.set is not None
    assert change.set["owner"] == ""
    assert waits_bounded(change) or change.set.get("retry_at") == 99


@pytest.mark.parametrize("status", sorted(RUNNING))
def test_stopping_keeps_a_link_and_nothing_else(status: Status) -> None:
    change = watcher.stopped(record(status))
    assert change.status is (Status.STOPPED if status in watcher.LINKED else Status.IDLE)
    assert change.clear is (status not in watcher.LINKED)


@pytest.mark.parametrize(
    ("status", "jid", "reason"),
    [
        (Status.QR, None, Reason.API_LOGOUT),
        (Status.STARTING, None, Reason.API_LOGOUT),
        (Status.FAILED, None, Reason.API_LOGOUT),
        (Status.FAILED, "1@s", Reason.API_LOGOUT_UNCONFIRMED),
        (Status.STOPPED, None, Reason.API_LOGOUT_UNCONFIRMED),
        (Status.CONNECTING, None, Reason.API_LOGOUT_UNCONFIRMED),
    ],
)
def test_a_logout_without_whatsapp_is_confirmed_only_where_there_was_no_link(
    status: Status, jid: str | None, reason: Reason
) -> None:
    assert watcher.logged_out(record(status, jid=jid), unlinked=False).reason == reason
    assert watcher.logged_out(record(status, jid=jid), unlinked=True).reason == Reason.API_LOGOUT


def test_the_next_try_of_a_session_that_is_to_be_logged_out_is_soon() -> None:
    waiting = record(Status.RECONNECTING, retry_at=60_000, updated_at=1_000)
    assert watcher.next_try_at(waiting) == 60_000
    hurried = record(Status.RECONNECTING, retry_at=60_000, updated_at=1_000, intent=Intent.LOGOUT)
    assert watcher.next_try_at(hurried) == 1_000 + watcher.LOGOUT_RETRY_MS
    assert watcher.next_try_at(record(Status.CONNECTING)) is None


class TestOver:
    """A change that was decided before somebody asked for something."""

    BEFORE = record(Status.CONNECTED)
    ASKED = record(Status.CONNECTED, intent=Intent.LOGOUT)

    def test_what_was_asked_meanwhile_stays_asked(self) -> None:
        change = watcher.stopped(self.BEFORE)
        kept = watcher.over(change, self.BEFORE, self.ASKED)
        assert kept is not None
        assert not {"intent", "intent_deadline_at"} & set(kept.drop)

    def test_what_cannot_be_any_more_is_dropped(self) -> None:
        change = watcher.on_qr(record(Status.STARTING), QrOffered("text", 1, 1, 6))
        assert watcher.over(change, record(Status.STARTING), record(Status.FAILED)) is None
