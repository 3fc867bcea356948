"""The plugin that forbids skipping in CI does so, and only there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TESTS = """
import pytest

def test_called():
    pytest.skip("no tool here")

@pytest.mark.skipif(True, reason="no other tool here")
def test_marked():
    pass

@pytest.mark.xfail(strict=True)
def test_expected():
    assert False
"""

MODULE = """
import pytest

pytest.importorskip("a_package_that_nobody_has")
"""


@pytest.mark.parametrize(
    ("ci", "said"),
    [("true", "1 failed, 1 xfailed, 2 errors"), ("", "3 skipped, 1 xfailed"), ("false", "3 skipped, 1 xfailed")],
)
def test_a_skipped_test_fails_in_ci_only(tmp_path: Path, ci: str, said: str) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text(MODULE)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider -p tests.support.no_skips\n")
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--continue-on-collection-errors",
            "-c",
            tmp_path / "pytest.ini",
            tmp_path,
        ],
        check=False,
        cwd=ROOT,  # where the plugin is found
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said in ran.stdout, ran.stdout
    assert (ran.returncode == 0) is (ci != "true")
