"""Everything here must hold on the oldest Redis that Relink works with, and on a newer one."""

import pytest


@pytest.fixture(scope="session", params=["7", "6.2"])
def redis_version(request: pytest.FixtureRequest) -> str:
    version: str = request.param
    return version
