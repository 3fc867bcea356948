"""Everything here must hold on the oldest Redis that Relink works with, and on a newer one; what the store does, on a
Cluster and under Sentinel, too."""

import pytest

BEHAVIOUR = {"test_auth", "test_changes", "test_foreign", "test_registry", "test_replicas", "test_sessions"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = metafunc.module.__name__.rpartition(".")[2]
    if "redis_version" in metafunc.fixturenames:
        kinds = ["7", "6.2", "cluster", "sentinel"] if name in BEHAVIOUR else ["7", "6.2"]
        metafunc.parametrize("redis_version", kinds, indirect=True, scope="session")
