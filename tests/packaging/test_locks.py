"""The locks pin everything that pyproject.toml asks for, with hashes, and name no place to get it from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", re.MULTILINE)
LOCKS = {
    "requirements.lock": [*PROJECT["dependencies"], *EXTRAS["embedded"]],
    "requirements-dev.lock": [*PROJECT["dependencies"], *EXTRAS["embedded"], *EXTRAS["dev"]],
}


def pins(lock: str) -> dict[str, str]:
    return {str(canonicalize_name(name)): version for name, version in PIN.findall((ROOT / lock).read_text())}


@pytest.mark.parametrize("lock", LOCKS)
def test_all_that_the_project_asks_for_is_pinned(lock: str) -> None:
    pinned = pins(lock)
    for requirement in map(Requirement, LOCKS[lock]):
        version = pinned.get(str(canonicalize_name(requirement.name)))
        assert version is not None, f"{requirement.name} is missing: run `make lock`"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_nothing_else_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text()
    for block in re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE)):
        assert PIN.match(block), block
        assert "--hash=sha256:" in block, block
    for trace in ("://", "--index-url", "--extra-index-url", "--find-links", "file:", "@ "):
        assert trace not in text


def test_development_runs_what_is_shipped() -> None:
    development = pins("requirements-dev.lock")
    for name, version in pins("requirements.lock").items():
        assert development[name] == version


def test_the_npm_lock_names_no_registry_and_checks_everything() -> None:
    text = (ROOT / "package-lock.json").read_text()
    assert "resolved" not in re.sub(r'"resolved": "[^":]+"', "", text)  # workspaces resolve to their folders
    assert "git+" not in text


def test_the_version_has_one_home() -> None:
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT
