"""The close policy: the whole table of docs/architecture.md, row by row, then what holds for any input."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sessions.policy import (
    MAX_BAD_SESSION_RETRIES,
    MAX_RESTARTS,
    MAX_UNLINKED_RETRIES,
    Backoff,
    Clear,
    Decision,
    Fail,
    Lost,
    Reopen,
    Retry,
    decide,
)
from app.sessions.reasons import Reason

QR_ENDED = "QR refs attempts ended"
LAST = 0.999999
BACKOFF = Backoff(base_ms=1_000, cap_ms=60_000, chance=lambda: LAST)


def lost(
    code: int | None,
    message: str = "",
    *,
    linked: bool = True,
    attempt: int = 0,
    previous: str | None = None,
    restarts: int = 0,
) -> Decision:
    known = Lost(code=code, message=message, linked=linked, attempt=attempt, previous=previous, restarts=restarts)
    return decide(known, BACKOFF)


@pytest.mark.invariant("I4")
@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Stream Errored (conflict)", Reason.PHONE_LOGOUT),
        ("Connection Failure", Reason.LOGIN_REFUSED),
        ("Intentional Logout", Reason.PHONE_LOGOUT),
    ],
)
def test_401_clears_and_is_never_retried(linked: bool, message: str, reason: Reason) -> None:
    assert lost(401, message, linked=linked) == Clear(reason)


@pytest.mark.parametrize("linked", [True, False])
def test_515_reopens_and_counts_nothing(linked: bool) -> None:
    assert lost(515, linked=linked, attempt=3) == Reopen()


def test_515_without_end_is_not_believed() -> None:
    decision = lost(515, restarts=MAX_RESTARTS)
    assert isinstance(decision, Retry)
    assert decision.reason is Reason.UNEXPECTED_CLOSE


def test_the_end_of_qr_codes_is_a_failure_of_its_own() -> None:
    assert lost(408, QR_ENDED, linked=False) == Fail(Reason.QR_EXPIRED, clear=True)


def test_a_reworded_end_of_qr_codes_is_counted() -> None:
    assert lost(408, "No more codes", linked=False) == Retry(Reason.CONNECTION_LOST, 999, 1)


def test_the_same_408_of_a_linked_session_is_a_lost_connection() -> None:
    assert lost(408, QR_ENDED, linked=True) == Retry(Reason.CONNECTION_LOST, 999, 1)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (None, Reason.NETWORK),
        (408, Reason.CONNECTION_LOST),
        (428, Reason.CONNECTION_CLOSED),
        (503, Reason.UNAVAILABLE),
        (402, Reason.UNEXPECTED_CLOSE),
    ],
)
class TestLostConnections:
    def test_a_linked_session_is_tried_for_ever(self, code: int | None, reason: Reason) -> None:
        assert lost(code, attempt=1_000, previous=reason) == Retry(reason, 59_999, 1_001)

    def test_an_unlinked_one_three_times(self, code: int | None, reason: Reason) -> None:
        third = lost(code, linked=False, attempt=MAX_UNLINKED_RETRIES - 1, previous=reason)
        assert third == Retry(reason, 3_999, MAX_UNLINKED_RETRIES)
        assert lost(code, linked=False, attempt=MAX_UNLINKED_RETRIES, previous=reason) == Fail(Reason.NO_QR, clear=True)


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize(
    ("code", "decision"),
    [
        (440, Fail(Reason.REPLACED, clear=False)),
        (403, Fail(Reason.BANNED, clear=False)),
        (405, Fail(Reason.CLIENT_OUTDATED, clear=False)),
        (411, Fail(Reason.MULTIDEVICE_MISMATCH, clear=True)),
    ],
)
def test_what_trying_again_cannot_mend(code: int, decision: Decision, linked: bool) -> None:
    assert lost(code, linked=linked) == decision


def test_a_bad_session_is_tried_three_times_then_keeps_its_credentials() -> None:
    third = lost(500, attempt=MAX_BAD_SESSION_RETRIES - 1, previous=Reason.BAD_SESSION)
    assert third == Retry(Reason.BAD_SESSION, 3_999, MAX_BAD_SESSION_RETRIES)
    assert lost(500, attempt=MAX_BAD_SESSION_RETRIES, previous=Reason.BAD_SESSION) == Fail(
        Reason.BAD_SESSION, clear=False
    )


def test_attempts_of_another_kind_do_not_count_towards_a_bad_session() -> None:
    assert lost(500, attempt=50, previous=Reason.NETWORK) == Retry(Reason.BAD_SESSION, 999, 1)
    assert lost(503, attempt=2, previous=Reason.BAD_SESSION) == Retry(Reason.UNAVAILABLE, 999, 1)


@given(
    code=st.none() | st.integers(100, 999),
    message=st.text(max_size=40),
    linked=st.booleans(),
    attempt=st.integers(0, 10**6),
    previous=st.none() | st.sampled_from(Reason),
    restarts=st.integers(0, 100),
)
def test_any_close_gets_a_decision_that_ends(
    code: int | None, message: str, linked: bool, attempt: int, previous: Reason | None, restarts: int
) -> None:
    decision = lost(code, message, linked=linked, attempt=attempt, previous=previous, restarts=restarts)
    if isinstance(decision, Retry):
        assert 0 <= decision.delay_ms <= 60_000
        assert decision.attempt >= 1
        assert linked or decision.attempt <= MAX_UNLINKED_RETRIES
    if isinstance(decision, Fail) and not linked and decision.reason is Reason.NO_QR:
        assert decision.clear


@given(attempt=st.integers(1, 10**9), seed=st.integers())
def test_backoff_is_spread_over_the_whole_range_and_capped(attempt: int, seed: int) -> None:
    backoff = Backoff(base_ms=1_000, cap_ms=60_000, chance=random.Random(seed).random)
    assert 0 <= backoff.delay_ms(attempt) < min(60_000, 1_000 * 2 ** min(attempt - 1, 30))
