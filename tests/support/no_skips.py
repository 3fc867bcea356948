"""In CI (CI=true) a skipped test is a failure: there, every tool that a test may need has been installed.

A pytest plugin; `tests/conftest.py` loads it.
"""

import os
from collections.abc import Generator

import pytest

_OFF = ("", "0", "false")


def _refuses() -> bool:
    return os.environ.get("CI", "").lower() not in _OFF


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"Nothing may be skipped in CI. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _refuses():
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.outcome == "skipped" and _refuses():
        _fail(report)
    return report
