"""The command line in tests: a command in this process, or a long-running one as a child."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.cli.root import run

ROOT = Path(__file__).parents[2]

START_S = 60.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def relink(*arguments: str) -> Ran:
    """Run one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(list(arguments))
    return Ran(status, out.getvalue(), err.getvalue())


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without any setting of Relink but those given."""
    own = {"RELINK_URL", "SIMULATOR_URL"} | {name.upper() for name in _setting_names()}
    return {name: value for name, value in os.environ.items() if name not in own} | settings


def _setting_names() -> list[str]:
    from app.settings import Settings

    return list(Settings.model_fields)


@dataclass
class Child:
    """`relink …` as a child process; its standard error, where the log is, is collected as it comes."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False

    def collect(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def event(self, name: str) -> dict[str, Any]:
        """The first log line of that event, once it is there."""
        deadline = time.monotonic() + START_S
        with self._news:
            while True:
                for line in self.lines:
                    if line.startswith("{") and (found := json.loads(line))["event"] == name:
                        return dict(found)
                assert not self._ended, f"ended without {name}:\n{self.log}"
                assert self._news.wait(deadline - time.monotonic()), f"no {name} in {START_S:.0f} s:\n{self.log}"

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


@contextlib.contextmanager
def child(*arguments: str, cwd: Path, **settings: str) -> Iterator[Child]:
    """`python -m app ARGUMENTS` in `cwd` with these settings; killed at the end if it still runs."""
    environment = clean_environment(**{"LOG_FORMAT": "json", "PYTHONPATH": str(ROOT), **settings})
    process = subprocess.Popen(
        [sys.executable, "-m", "app", *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = Child(process)
    reader = threading.Thread(target=started.collect)
    reader.start()
    try:
        yield started
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        reader.join()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
