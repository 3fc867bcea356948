"""Every interleaving of start, claim, write, freeze, stop, reset, logout and delete, on one session, two replicas."""

import pytest

from tests.model.checker import explore
from tests.model.rules import Rules

LIMIT = 300_000
"""States; the right rules have some 5,000, and each broken one breaks within that."""


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
@pytest.mark.invariant("I4")
def test_nothing_that_can_happen_breaks_the_protocol() -> None:
    result = explore(Rules(), limit=LIMIT)
    assert result.violation is None, f"\n{result.violation}"
    assert result.states > 3_000


def test_a_handover_never_has_two_sockets_logged_in() -> None:
    """Nor has a failover, but for the time in which a replica that was taken for dead finds out."""
    result = explore(Rules(orderly=True), limit=LIMIT)
    assert result.violation is None, f"\n{result.violation}"
    assert result.states > 3_000


@pytest.mark.parametrize(
    ("broken", "finds"),
    [
        (Rules(fence_writes=False), "I3"),
        (Rules(fence_open=False), "I4"),
        (Rules(claim_bumps=False, fence_open=False), "I4"),
        (Rules(claim_bumps=False), "I4"),
        (Rules(start_bumps=False), "I2"),
        (Rules(clear_bumps=False), "I1"),
        (Rules(clear_bumps=False, clear_is_remembered=False), "I1"),
        (Rules(delete_moves_on=False), "I1"),
        (Rules(asked_stays_asked=False), "I6"),
        (Rules(orderly=True, release_closes_first=False), "440"),
    ],
)
def test_a_broken_rule_is_found(broken: Rules, finds: str) -> None:
    violation = explore(broken, limit=LIMIT).violation
    assert violation is not None
    assert finds in violation.what
    assert len(str(violation).splitlines()) == len(violation.trace) + 1
