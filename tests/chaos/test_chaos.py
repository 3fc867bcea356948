"""A short run of the chaos; `make chaos` runs a long one."""

import os

import pytest

from tests.chaos.run import run
from tests.chaos.schedule import schedule

SECONDS = 40.0
SEED = int(os.environ.get("CHAOS_SEED", "1"))


def test_a_seed_is_a_schedule() -> None:
    assert schedule(7, 60) == schedule(7, 60)
    assert schedule(7, 60) != schedule(8, 60)
    assert schedule(7, 120)[: len(schedule(7, 60))] == schedule(7, 60)


@pytest.mark.bridge
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.invariant("I1")
@pytest.mark.invariant("I3")
@pytest.mark.invariant("I4")
@pytest.mark.invariant("I7")
@pytest.mark.invariant("I9")
async def test_a_while_of_chaos() -> None:
    report = await run(SEED, SECONDS, sessions=24)
    assert not report.wrong, "\n".join([f"seed {report.seed}", *report.diary, *report.wrong])
