"""The fleet guard: one tries for all, and the others follow spread out."""

from itertools import pairwise

import pytest

from app.sessions.guard import CANARY_PATIENCE_S, MIN_FAILURES, PROBE_BASE_S, PROBE_CAP_S, WINDOW_S, Guard
from app.sessions.reasons import Reason


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def guard(clock: Clock, woken: list[str]) -> Guard:
    return Guard(now=clock, running=lambda: 20, rate=10, wake=woken.append)


def trip(guard: Guard, reason: Reason = Reason.UNAVAILABLE, count: int = MIN_FAILURES) -> None:
    for n in range(count):
        guard.failed(f"s{n}", reason)


def test_a_few_failures_hold_nobody(guard: Guard) -> None:
    trip(guard, count=MIN_FAILURES - 1)
    assert guard.tripped is None
    assert guard.wait_s("s0") == 0.0


def test_one_session_that_fails_often_is_not_a_herd(guard: Guard) -> None:
    for _ in range(100):
        guard.failed("s0", Reason.UNAVAILABLE)
    assert guard.tripped is None


def test_failures_of_different_kinds_are_not_alike(guard: Guard) -> None:
    for n, reason in enumerate([Reason.NETWORK, Reason.UNAVAILABLE, Reason.CLIENT_OUTDATED] * 2):
        guard.failed(f"s{n}", reason)
    assert guard.tripped is None


def test_failures_spread_over_time_are_not_a_herd(guard: Guard, clock: Clock) -> None:
    for n in range(3 * MIN_FAILURES):
        guard.failed(f"s{n}", Reason.NETWORK)
        clock.now += WINDOW_S / 2
    assert guard.tripped is None


def test_on_a_full_replica_it_takes_a_share_of_all(clock: Clock, woken: list[str]) -> None:
    guard = Guard(now=clock, running=lambda: 1_000, rate=10, wake=woken.append)
    trip(guard, count=199)
    assert guard.tripped is None
    guard.failed("one more", Reason.UNAVAILABLE)
    assert guard.tripped is Reason.UNAVAILABLE


def test_tripped_one_tries_and_the_others_wait(guard: Guard, clock: Clock) -> None:
    trip(guard)
    assert guard.tripped is Reason.UNAVAILABLE
    assert guard.wait_s("s0") > 0  # nobody at once: it has just failed for all
    clock.now += PROBE_BASE_S
    assert guard.wait_s("s1") == 0.0
    assert all(guard.wait_s(f"s{n}") > 0 for n in (0, 2, 3, 4))
    assert guard.held == 4


def test_canaries_come_further_and_further_apart(guard: Guard, clock: Clock) -> None:
    trip(guard)
    tries = []
    for second in range(300):
        clock.now += 1
        if guard.wait_s("s0") == 0.0:
            tries.append(second)
            guard.failed("s0", Reason.UNAVAILABLE)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == PROBE_CAP_S
    assert len(tries) < 20


def test_a_canary_that_is_never_heard_of_again_is_replaced(guard: Guard, clock: Clock) -> None:
    trip(guard)
    clock.now += PROBE_BASE_S
    assert guard.wait_s("s0") == 0.0
    assert guard.wait_s("s1") > 0
    clock.now += CANARY_PATIENCE_S + 1
    assert guard.wait_s("s1") == 0.0


def test_a_canary_that_leaves_makes_way(guard: Guard, clock: Clock) -> None:
    trip(guard)
    clock.now += PROBE_BASE_S
    assert guard.wait_s("s0") == 0.0
    guard.gone("s0")
    assert guard.wait_s("s1") == 0.0


@pytest.mark.parametrize("how", ["logged in", "refused for a reason of its own"])
def test_when_the_canary_gets_through_the_others_follow_spread_out(
    guard: Guard, clock: Clock, woken: list[str], how: str
) -> None:
    trip(guard)
    clock.now += PROBE_BASE_S
    assert guard.wait_s("s0") == 0.0
    held = [f"s{n}" for n in range(1, 11)]
    assert all(guard.wait_s(session) > 0 for session in held)
    if how == "logged in":
        guard.answered("s0")
    else:
        guard.failed("s0", Reason.REPLACED)
    assert guard.tripped is None
    assert sorted(woken) == sorted(held)
    assert sorted(guard.wait_s(session) for session in held) == pytest.approx([n / 10 for n in range(1, 11)])
    clock.now += 1.01
    assert [guard.wait_s(session) for session in held] == [0.0] * 10
    assert guard.held == 0


def test_a_bridge_that_dies_says_nothing_about_whatsapp(guard: Guard, clock: Clock) -> None:
    trip(guard, Reason.ENGINE, count=20)
    assert guard.tripped is None
    trip(guard)
    clock.now += PROBE_BASE_S
    assert guard.wait_s("s0") == 0.0
    guard.failed("s0", Reason.ENGINE)
    assert guard.tripped is Reason.UNAVAILABLE
