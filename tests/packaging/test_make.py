"""The Makefile on machines that lack something, and what it says about itself."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout with nothing installed, and a PATH that has only a shell and rm."""
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "rm", "touch"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    for file in ("Makefile", "requirements.lock", "pyproject.toml", "package.json", "package-lock.json"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def make(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    executable = shutil.which("make")
    assert executable is not None
    return subprocess.run(
        [executable, "--no-print-directory", *arguments],
        cwd=directory,
        env={"PATH": str(directory / "bin"), "HOME": os.environ.get("HOME", "/"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def program(directory: Path, name: str, script: str) -> Path:
    file = directory / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_without_python_it_says_what_is_needed(bare: Path) -> None:
    ran = make(bare, "run")
    assert ran.returncode != 0
    assert "Relink needs Python 3.11 or newer" in ran.stderr
    assert "PYTHON=" in ran.stderr


def test_an_old_python_is_not_used(bare: Path) -> None:
    program(bare, "python3", "exit 1")  # what an old one answers to the question for its version
    ran = make(bare, "run")
    assert "Relink needs Python 3.11 or newer" in ran.stderr


def test_a_named_python_that_is_too_old_is_refused(bare: Path) -> None:
    old = program(bare, "python-old", "exit 1")
    for ran in (make(bare, "run", f"PYTHON={old}"), make(bare, "run", PYTHON=str(old))):
        assert ran.returncode != 0
        assert f"PYTHON={old} is not a Python 3.11 or newer." in ran.stderr


def test_a_newer_python_is_found_beside_an_old_one(bare: Path) -> None:
    program(bare, "python3", "exit 1")
    program(bare, "python3.12", '[ "$1" = -c ] && exit 0; [ "$1" = --version ] && echo Python 3.12.0 && exit 0; exit 3')
    ran = make(bare, "run")
    assert "Making .venv with Python 3.12.0" in ran.stdout


def test_a_python_without_venv_is_explained(bare: Path) -> None:
    program(bare, "python3", '[ "$1" = -c ] && exit 0; [ "$1" = --version ] && exit 0; exit 1')
    ran = make(bare, "run")
    assert ran.returncode != 0
    assert "apt install python3-venv" in ran.stderr
    assert not (bare / ".venv").exists(), "half a virtual environment would be taken for a whole one"


def test_an_installation_that_failed_is_tried_again(bare: Path) -> None:
    program(
        bare,
        "python3",
        'case "$1" in -c|--version) exit 0;; esac\n'
        "/bin/mkdir -p .venv/bin\nprintf '#!/bin/sh\\nexit 7\\n' > .venv/bin/python\n/bin/chmod +x .venv/bin/python",
    )
    for _ in range(2):
        ran = make(bare, "run")
        assert ran.returncode != 0
        assert "Installing the Python packages of requirements.lock" in ran.stdout
        assert not (bare / ".venv" / ".runtime").exists()


def test_help_lists_every_target(bare: Path) -> None:
    listed = {line.split()[1] for line in make(bare, "help").stdout.splitlines()}
    phony = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())  # type: ignore[index]
    assert listed == phony
    assert make(bare).stdout == make(bare, "help").stdout


def test_what_is_installed_is_not_installed_again(bare: Path) -> None:
    (bare / ".venv" / "bin").mkdir(parents=True)
    python = bare / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "ran $*, port $PORT"\n')
    python.chmod(0o755)
    (bare / ".venv" / ".runtime").touch()
    (bare / "node_modules").mkdir()
    (bare / "node_modules" / ".installed").touch()
    assert make(bare, "run", PORT="4001").stdout == "ran -m app serve, port 4001\n"
    assert make(bare, "run", "PORT=4002").stdout == "ran -m app serve, port 4002\n"
    assert make(bare, "demo", PORT="4001").stdout == "ran -m app demo, port 4001\n"
