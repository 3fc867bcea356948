"""The simulator as a child process: `relink simulator`, and the WhatsApp of `relink demo`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import app
from app.cli.errors import CliError, Exit
from app.cli.node import environment, node

_STOP_TIMEOUT_S = 5.0

_DIE_WITH_PARENT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG; it outlasts the exec
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator: where its control API is, and the two settings that point a service at it."""

    control_url: str
    whatsapp_url: str
    root_key: str


def command(arguments: Sequence[str]) -> list[str]:
    """The command line of the simulator. Raises CliError when Node, the simulator or its npm packages are missing."""
    root = Path(app.__file__).parent.parent
    main = root / "simulator" / "src" / "main.js"
    if not main.is_file():
        raise CliError(f"The simulator is not here ({main}).", hint="Run Relink from its checkout or its image.")
    if not any((base / "node_modules" / "baileys").is_dir() for base in (main.parents[1], root)):
        raise CliError(
            "The npm packages of the simulator are missing.", hint=f"Run `make install` in {root}.", status=Exit.USAGE
        )
    return [node(), str(main), *arguments]


def become_simulator(arguments: Sequence[str]) -> int:
    """Replace this process by the simulator. Raises CliError as `command`."""
    line = command(arguments)
    sys.stdout.flush()
    os.execve(line[0], line, environment())  # noqa: S606 - our own program


@contextlib.contextmanager
def running_simulator(*, port: int, state: Path | None) -> Iterator[Simulator]:
    """Run one until the context ends, or this process does. `port` 0: any that is free.

    `state`: the file that keeps its phones and links. Raises CliError when it does not start.
    """
    arguments = ["--port", str(port), "--json"]
    if state is not None:
        state.parent.mkdir(parents=True, exist_ok=True)
        arguments += ["--state", str(state)]
    line = command(arguments)
    if sys.platform == "linux":
        line = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *line]
    # Ctrl-C at the terminal is for the service, which ends the simulator last: hence a session of its own.
    process = subprocess.Popen(  # noqa: S603 - our own program
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()  # it prints one line when it listens, or ends
        if not said:
            raise CliError("The simulator did not start; what it says is above.")
        ready = json.loads(said)
        yield Simulator(ready["control_url"], ready["WHATSAPP_URL"], ready["WHATSAPP_ROOT_KEY"])
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    with process:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
