"""The state machine as a whole: what must hold of every status, whatever the table says in detail."""

import pytest

from app.model import CLEARED, RUNNING, SOCKET, Event, Status
from app.sessions import machine
from app.sessions.machine import IllegalTransition, after, allows

ASKED = {Event.STOP_REQUESTED, Event.LOGOUT_REQUESTED}


def test_an_unknown_pair_raises_and_names_both() -> None:
    with pytest.raises(IllegalTransition, match="open cannot happen to a session that is idle"):
        after(Status.IDLE, Event.OPEN)


@pytest.mark.parametrize("status", Status)
def test_every_status_can_be_reset(status: Status) -> None:
    assert after(status, Event.RESET) is Status.IDLE


@pytest.mark.parametrize("status", Status)
def test_asking_changes_no_status(status: Status) -> None:
    assert {after(status, event) for event in ASKED} == {status}


@pytest.mark.invariant("I4")
@pytest.mark.parametrize("status", sorted(set(Status) - RUNNING))
def test_only_a_start_leads_from_rest_to_a_socket(status: Status) -> None:
    leading = {event for event in Event if allows(status, event) and after(status, event) in RUNNING}
    assert leading == {Event.START, Event.RESUME}


@pytest.mark.invariant("I9")
@pytest.mark.parametrize("status", sorted(RUNNING))
def test_every_running_status_can_end(status: Status) -> None:
    """By failure, by a stop, by a logout: none is a trap."""
    assert after(status, Event.FAIL) is Status.FAILED
    assert after(status, Event.STOP) in {Status.STOPPED, Status.IDLE}
    assert after(status, Event.LOGOUT) is Status.LOGGED_OUT


@pytest.mark.parametrize("status", sorted(RUNNING))
def test_a_takeover_keeps_a_session_running(status: Status) -> None:
    assert after(status, Event.CLAIM) in RUNNING
    assert after(status, Event.CLAIM_UNLINKED) is Status.STARTING
    assert after(status, Event.RELEASE) in RUNNING


def test_from_rest_every_status_can_be_reached() -> None:
    reached, new = set[Status](), {Status.IDLE}
    while new:
        reached |= new
        new = {after(s, e) for s in reached for e in Event if allows(s, e)} - reached
    assert reached == set(Status)


def test_only_sockets_report() -> None:
    """Events that come from a socket are possible only where there is one."""
    for event in (Event.QR, Event.PAIRED, Event.OPEN, Event.RESTART, Event.RETRY):
        assert {status for status in Status if allows(status, event)} <= SOCKET


def test_cleared_statuses_have_no_link_to_end() -> None:
    assert not any(allows(status, Event.LOGOUT) for status in CLEARED)


def test_the_table_has_no_row_for_a_status_or_event_that_does_not_exist() -> None:
    assert all(isinstance(s, Status) and isinstance(e, Event) for s, e in machine._TABLE)
