"""`relink demo` as users run it: the service, the embedded Redis, Baileys and the simulator, from one command."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from app.settings import Settings
from tests.support.commands import Child, child


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo."""

    url: str
    simulator_url: str
    child: Child


@pytest.fixture(scope="session")
def running_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = tmp_path_factory.mktemp("demo")
    with child("demo", "--simulator-port", "0", cwd=home, PORT="0", BACKOFF_BASE="0.2") as started:
        ready = started.event("serving")
        control = ready["whatsapp"].replace("ws://", "http://").removesuffix("/ws/chat")
        yield Demo(ready["url"], control, started)


@pytest.fixture
def demo(running_demo: Demo, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, with commands of this process pointed at it."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("user"))
    monkeypatch.setenv("RELINK_URL", running_demo.url)
    monkeypatch.setenv("SIMULATOR_URL", running_demo.simulator_url)
    return running_demo
