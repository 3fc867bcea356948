"""`relink serve` as an operator meets it: starting, refusing to start, stopping."""

import signal
import socket
from pathlib import Path

import httpx
import pytest

from app.cli.errors import Exit
from tests.support.commands import child, relink
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.bridge

API_KEY = "correct-horse-battery-staple"
WAIT_S = 20.0


def children_of(pid: int) -> set[int]:
    return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_stops_cleanly(redis: RedisServer, tmp_path: Path, number: signal.Signals) -> None:
    with child("serve", cwd=tmp_path, PORT="0", REDIS_URL=redis.url) as service:
        url = service.event("serving")["url"]
        assert httpx.post(f"{url}/force-reset").status_code == 200
        started = children_of(service.process.pid)
        assert started, "the bridge is a child"
        assert service.stop(number) == Exit.OK
        assert service.event("stopped")
        assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
        assert "Traceback" not in service.log


def test_python_m_app_serves(redis: RedisServer, tmp_path: Path) -> None:
    with child(cwd=tmp_path, PORT="0", REDIS_URL=redis.url) as service:
        assert service.event("serving")["whatsapp"] == "real"
        assert service.stop() == Exit.OK


def test_an_open_stream_does_not_hold_up_a_stop(redis: RedisServer, tmp_path: Path) -> None:
    with child("serve", cwd=tmp_path, PORT="0", REDIS_URL=redis.url) as service:
        url = service.event("serving")["url"]
        with httpx.stream("GET", f"{url}/sessions/default/events", timeout=WAIT_S) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            service.process.send_signal(signal.SIGTERM)
            for _ in lines:
                pass
        assert service.process.wait(WAIT_S) == Exit.OK
        assert "Traceback" not in service.log


def test_health_tells_what_is_wrong(redis: RedisServer, tmp_path: Path) -> None:
    with child("serve", cwd=tmp_path, PORT="0", REDIS_URL=redis.url) as service:
        url = service.event("serving")["url"]
        ready = relink("health", "--url", url)
        assert ready.status == Exit.OK
        assert "redis: ok" in ready.out
        redis.process.send_signal(signal.SIGSTOP)
        try:
            stopped = relink("health", "--url", url)
        finally:
            redis.process.send_signal(signal.SIGCONT)
        assert stopped.status == Exit.SERVICE
        assert stopped.err.startswith("not ready: redis: ")
        assert "engine: ok" in stopped.err


def test_a_taken_port_is_explained(redis: RedisServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with child("serve", cwd=tmp_path, PORT=str(port), REDIS_URL=redis.url) as service:
            assert service.process.wait(WAIT_S) == Exit.USAGE
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in service.log
    assert f"PORT={port + 1}" in service.log
    assert "Traceback" not in service.log


def test_an_address_of_another_machine_is_explained(redis: RedisServer, tmp_path: Path) -> None:
    with child("serve", cwd=tmp_path, HOST="192.0.2.1", PORT="0", API_KEY=API_KEY, REDIS_URL=redis.url) as service:
        assert service.process.wait(WAIT_S) == Exit.USAGE
    assert "Cannot listen on 192.0.2.1" in service.log


def test_a_redis_that_is_not_there_is_explained(tmp_path: Path) -> None:
    url = "redis://:hunter2-secret@127.0.0.1:1/0"
    with child("serve", cwd=tmp_path, PORT="0", REDIS_URL=url, REDIS_TIMEOUT="1") as service:
        assert service.process.wait(WAIT_S) == Exit.USAGE
    assert "relink: Relink cannot start: Redis" in service.log
    assert "Traceback" not in service.log
    assert "hunter2-secret" not in service.log


def test_a_start_that_hangs_can_be_ended(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        silent.settimeout(WAIT_S)
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with child("serve", cwd=tmp_path, PORT="0", REDIS_URL=url, REDIS_TIMEOUT="60") as service:
            connection, _ = silent.accept()
            with connection:
                assert service.stop() == Exit.OK
        assert service.event("stopped")
        assert "Traceback" not in service.log


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"HOST": "0.0.0.0"}, "no API_KEY is set"),
        ({"HOST": "0.0.0.0", "API_KEY": "short"}, "API_KEY is too short"),
        ({"PORT": "70000"}, "PORT: Input should be less than or equal to 65535"),
        ({"WHATSAPP_ROOT_KEY": "ab" * 32}, "WHATSAPP_ROOT_KEY is set without WHATSAPP_URL"),
        ({"QR_WAIT": "soon"}, "QR_WAIT: Input should be a valid number"),
    ],
)
def test_settings_that_cannot_be_are_explained(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    with child("serve", cwd=tmp_path, **settings) as service:
        assert service.process.wait(WAIT_S) == Exit.USAGE
    assert said in service.log
    assert "Traceback" not in service.log
    assert "ab" * 32 not in service.log


def test_a_container_may_listen_behind_a_loopback_port(redis: RedisServer, tmp_path: Path) -> None:
    settings = {"HOST": "0.0.0.0", "PUBLISHED_ON_LOOPBACK": "true", "PORT": "0", "REDIS_URL": redis.url}
    with child("serve", cwd=tmp_path, **settings) as service:
        url = service.event("serving")["url"]
        assert url.startswith("http://127.0.0.1:"), "an address that works from here"
        assert httpx.post(f"{url}/force-reset").status_code == 200


def test_commands_send_the_api_key(redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    with child("serve", cwd=tmp_path, PORT="0", REDIS_URL=redis.url, API_KEY=API_KEY) as service:
        url = service.event("serving")["url"]
        without = relink("status", "--url", url)
        assert without.status == Exit.REFUSED
        assert "API key" in without.err
        assert relink("status", "--url", url, "--api-key", API_KEY).status == Exit.OK
        monkeypatch.setenv("API_KEY", API_KEY)
        assert relink("status", "--url", url).status == Exit.OK
        monkeypatch.delenv("API_KEY")
        (tmp_path / ".env").write_text(f"API_KEY={API_KEY}\n")
        assert relink("status", "--url", url).status == Exit.OK
        assert API_KEY not in service.log
