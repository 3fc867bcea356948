"""What the Baileys engine does when its bridge, or WhatsApp, fails it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

import app.engine.worker
from app.engine.baileys import BaileysEngine
from app.engine.base import Closed, EngineError, LoggedIn, Paired, QrOffered
from app.engine.node import find_bridge, find_node
from app.settings import Settings
from tests.integration.engine.worlds import baileys_world, make_settings
from tests.support.listeners import RecordingListener
from tests.support.simulator import Simulator, rule

pytestmark = pytest.mark.bridge


def now() -> float:
    return asyncio.get_running_loop().time()


def child(engine: BaileysEngine, index: int = 0) -> int:
    pid = engine.stats().processes[index].pid
    assert pid is not None
    return pid


async def offered(engine: BaileysEngine, session: str = "default") -> RecordingListener:
    listener = RecordingListener()
    await engine.open(session, 1, None, listener)
    await listener.next(QrOffered)
    return listener


async def linked(engine: BaileysEngine, simulator: Simulator, session: str = "default") -> RecordingListener:
    listener = RecordingListener()
    await engine.open(session, 1, None, listener)
    await simulator.scan((await listener.next(QrOffered)).text)
    await listener.next(Paired)
    await listener.next(Closed)
    await engine.open(session, 2, listener.creds, listener)
    await listener.next(LoggedIn)
    return listener


async def test_a_killed_bridge_is_told_and_replaced_at_once(simulator: Simulator) -> None:
    async with baileys_world(simulator) as world:
        listeners = [await offered(world.engine, f"s{number}") for number in range(3)]
        began = now()
        os.kill(child(world.engine), signal.SIGKILL)
        for listener in listeners:
            assert await listener.next(Closed) == Closed(None, "the bridge process died")
        assert now() - began < 1
        await offered(world.engine)
        stats = world.engine.stats()
        assert (stats.restarts, stats.sockets) == (1, 1)


async def test_a_stopped_bridge_is_found_killed_and_replaced(simulator: Simulator) -> None:
    async with baileys_world(simulator, bridge_timeout=1) as world:
        listener = await offered(world.engine)
        pid = child(world.engine)
        began = now()
        os.kill(pid, signal.SIGSTOP)
        assert await listener.next(Closed) == Closed(None, "the bridge process died")
        assert 0.5 < now() - began < 3
        await offered(world.engine)
        assert child(world.engine) != pid


async def test_calls_on_a_stopped_bridge_are_bounded_and_open_goes_to_its_successor(simulator: Simulator) -> None:
    async with baileys_world(simulator, bridge_timeout=1) as world:
        listener = RecordingListener()
        socket = await world.engine.open("default", 1, None, listener)
        await listener.next(QrOffered)
        other = RecordingListener()
        second = await world.engine.open("other", 1, None, other)
        await other.next(QrOffered)
        os.kill(child(world.engine), signal.SIGSTOP)
        began = now()
        third = RecordingListener()
        opening = asyncio.create_task(world.engine.open("third", 1, None, third))
        closing, unlinking = await asyncio.gather(socket.close(), second.logout(), return_exceptions=True)
        assert closing is None
        assert isinstance(unlinking, EngineError)
        await opening
        await third.next(QrOffered)
        assert now() - began < 8
        assert [type(event) for event in third.heard] == [QrOffered], "the failed try must not be heard of"
        assert [type(event) for event in listener.heard + other.heard] == [QrOffered, QrOffered]


async def test_a_bridge_that_dies_young_again_and_again_is_restarted_with_growing_delay(simulator: Simulator) -> None:
    async with baileys_world(simulator) as world:
        times = []
        for _ in range(4):
            listener = await offered(world.engine)
            began = now()
            os.kill(child(world.engine), signal.SIGKILL)
            await listener.next(Closed)
            await offered(world.engine, "probe")
            times.append(now() - began)
        assert times[3] > times[0] + 0.5


async def test_a_stopped_service_does_not_take_its_bridge_for_hung(simulator: Simulator, tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(
        "import asyncio, os, sys\n"
        "from app.engine.baileys import BaileysEngine\n"
        "from app.settings import Settings\n"
        "async def main():\n"
        "    async with BaileysEngine(Settings(bridge_timeout=1)) as engine:\n"
        "        print(engine.stats().processes[0].pid, flush=True)\n"
        "        await asyncio.to_thread(sys.stdin.readline)\n"
        "        await asyncio.sleep(1.5)\n"
        "        print(engine.stats().restarts, flush=True)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **simulator.environment, "PYTHONPATH": str(Path.cwd()), "LOG_LEVEL": "ERROR"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    pid = await next_number(process.stdout)
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(2.5)  # the time for which it is stopped is what is tested
    process.send_signal(signal.SIGCONT)
    process.stdin.write(b"\n")
    assert await next_number(process.stdout) == 0
    process.stdin.close()
    await asyncio.wait_for(process.wait(), 10)
    assert not exists(pid)


async def test_a_service_that_is_killed_leaves_no_bridge(simulator: Simulator, tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(
        "import asyncio\n"
        "from app.engine.baileys import BaileysEngine\n"
        "from app.settings import Settings\n"
        "class Listener:\n"
        "    def on_event(self, event): print(engine.stats().processes[0].pid, flush=True)\n"
        "async def main():\n"
        "    global engine\n"
        "    async with BaileysEngine(Settings()) as engine:\n"
        "        await engine.open('default', 1, None, Listener())\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **simulator.environment, "PYTHONPATH": str(Path.cwd()), "LOG_LEVEL": "ERROR"},
    )
    assert process.stdout is not None
    pid = await next_number(process.stdout)
    await simulator.disturb("silence")  # so that WhatsApp does not answer the close frame either
    process.kill()
    await process.wait()
    async with asyncio.timeout(5):
        while exists(pid):  # noqa: ASYNC110 - a process that is not ours to wait for
            await asyncio.sleep(0.05)


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def next_number(stream: asyncio.StreamReader) -> int:
    """The next line that is a number; logs are skipped."""
    while line := await asyncio.wait_for(stream.readline(), 20):
        if line.strip().isdigit():
            return int(line)
    raise AssertionError("the process ended")


async def test_garbage_on_the_wire_is_skipped(simulator: Simulator, tmp_path: Path) -> None:
    noisy = tmp_path / "noisy.mjs"
    noisy.write_text(
        """
        const say = text => process.stdout.write(text + '\\n');
        setInterval(() => {
          for (const text of ['garbage', '{"event":', '[1,2]', '7', '{}', '\\u0000\\ufffd', '{"socket":"x"}',
            '{"event":"qr","socket":1}', '{"id":"b9","op":"nonsense","socket":1}', '{"id":99,"ok":true}',
            '{"event":"closed","socket":99,"code":1}'])
            say(text);
        }, 50);
        say('x'.repeat(17 * 1024 * 1024));
        process.stderr.write('not JSON\\n{"level":"warn","msg":"structured"}\\n{"level":7}\\n');
        await import(process.argv[2]);
        """
    )
    command = [find_node(), str(noisy), str(find_bridge())]
    async with BaileysEngine(make_settings(simulator), command=command) as engine:
        listener = await linked(engine, simulator)
        assert [type(event) for event in listener.heard] == [QrOffered, Paired, Closed, LoggedIn]
        assert engine.stats().restarts == 0


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("console.error('out of cheese'); process.exit(3)", r"ended with status 3\. out of cheese"),
        ("process.stdout.end(); setTimeout(() => {}, 60000)", "did not start"),
        ("setTimeout(() => {}, 60000)", "said nothing in time"),
        ('console.log(\'{"event":"hello","protocol":99}\'); setTimeout(() => {}, 60000)', "protocol 99, not 1"),
    ],
)
async def test_a_bridge_that_does_not_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    monkeypatch.setattr(app.engine.worker, "HELLO_S", 2.0)
    main = tmp_path / "main.mjs"
    main.write_text(script)
    with pytest.raises(EngineError, match=said):
        async with BaileysEngine(Settings(), command=[find_node(), str(main)]):
            pass


async def test_settings_that_the_bridge_refuses_are_named() -> None:
    environment = {"WHATSAPP_URL": "wss://web.whatsapp.com", "WHATSAPP_ROOT_KEY": "00" * 32}
    with pytest.raises(EngineError, match="loopback"):
        async with BaileysEngine(Settings(), environment=environment):
            pass


async def test_a_program_that_is_not_there() -> None:
    with pytest.raises(EngineError, match="could not be started"):
        async with BaileysEngine(Settings(), command=["/nowhere/node"]):
            pass


async def test_another_trust_root_is_refused(simulator: Simulator) -> None:
    """Baileys alone would accept it: its `Curve.verify` says yes to any signature."""
    async with BaileysEngine(make_settings(simulator, whatsapp_root_key="11" * 32)) as engine:
        listener = RecordingListener()
        await engine.open("default", 1, None, listener)
        closed = await listener.next(Closed)
        assert closed == Closed(400, "noise intermediate certificate signature invalid")


async def test_sockets_go_to_the_process_with_the_fewest(simulator: Simulator) -> None:
    async with baileys_world(simulator, bridge_processes=2) as world:
        for number in range(4):
            await offered(world.engine, f"s{number}")
        assert [process.sockets for process in world.engine.stats().processes] == [2, 2]
        os.kill(child(world.engine, 0), signal.SIGKILL)
        await asyncio.gather(*(offered(world.engine, f"t{number}") for number in range(3)))
        assert world.engine.stats().processes[1].sockets >= 4


async def test_leaving_ends_open_sockets_without_a_word(simulator: Simulator) -> None:
    async with baileys_world(simulator) as world:
        listener = await linked(world.engine, simulator)
        heard = len(listener.heard)
    async with asyncio.timeout(5):
        while await simulator.sockets():  # noqa: ASYNC110 - the simulator has no event for "none left"
            await asyncio.sleep(0.02)
    assert len(listener.heard) == heard
    assert (await simulator.counters()).totals["unlinks"] == 0


async def test_close_and_logout_are_prompt_when_whatsapp_is_silent(simulator: Simulator) -> None:
    async with baileys_world(simulator) as world:
        listener = await linked(world.engine, simulator)
        first = RecordingListener(listener.auth)
        socket = await world.engine.open("default", 3, first.creds, first)
        await first.next(LoggedIn)
        await simulator.disturb("silence")
        began = now()
        assert await socket.logout() is False, "it was sent, but nobody knows whether it arrived"
        assert now() - began < 2.5


async def test_whatsapp_silent_during_the_handshake(simulator: Simulator) -> None:
    await simulator.behave(handshake="silent")
    async with baileys_world(simulator) as world:
        await simulator.behave(handshake="silent")  # the world resets the simulator
        listener = RecordingListener()
        socket = await world.engine.open("default", 1, None, listener)
        await simulator.wait_for("connect")
        began = now()
        await socket.close()
        assert now() - began < 2.5
        assert listener.heard == []


@pytest.mark.slow
async def test_a_connected_peer_that_falls_silent_is_given_up(simulator: Simulator) -> None:
    async with baileys_world(simulator, keep_alive=1) as world:
        listener = await linked(world.engine, simulator)
        began = now()
        await simulator.disturb("silence")
        assert await listener.next(Closed) == Closed(408, "Connection was lost")
        # Baileys asks once a second, and gives up 5 s later than that; 1.5 s for the close frame nobody answers.
        assert now() - began < 10


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_an_http_answer_in_place_of_whatsapp_is_no_close_code(simulator: Simulator, status: int) -> None:
    """A captive portal that says 401 must not clear anybody's credentials."""
    async with baileys_world(simulator) as world:
        await simulator.behave(handshake=status)
        listener = RecordingListener()
        await world.engine.open("default", 1, None, listener)
        closed = await listener.next(Closed)
        assert closed.code is None
        assert str(status) in closed.message


async def test_nobody_listens_at_whatsapps_address(simulator: Simulator) -> None:
    async with baileys_world(simulator, whatsapp_url="ws://127.0.0.1:9/ws/chat") as world:
        listener = RecordingListener()
        await world.engine.open("default", 1, None, listener)
        closed = await listener.next(Closed)
        assert closed.code is None
        assert "ECONNREFUSED" in closed.message


async def test_codes_run_out(simulator: Simulator) -> None:
    async with baileys_world(simulator, qr_lifetime=0.2) as world:
        await simulator.behave(refs=3)
        listener = RecordingListener()
        await world.engine.open("default", 1, None, listener)
        codes = [await listener.next(QrOffered) for _ in range(3)]
        assert [(code.number, code.limit) for code in codes] == [(1, 3), (2, 3), (3, 3)]
        assert all(100 < code.ttl_ms <= 200 for code in codes)
        assert len({code.text for code in codes}) == 3
        assert await listener.next(Closed) == Closed(408, "QR refs attempts ended")


@pytest.mark.invariant("I3")
@pytest.mark.slow
async def test_a_socket_that_ended_writes_nothing_more(simulator: Simulator) -> None:
    """Baileys' pre-key upload goes on after its socket ended, and retries for 7 s."""
    async with baileys_world(simulator) as world:
        await simulator.behave(prekey_delay_ms=300)
        listener = RecordingListener()
        await world.engine.open("default", 1, None, listener)
        qr = await listener.next(QrOffered)
        await simulator.scan(qr.text, then=[rule("prekey_upload", "logout")])
        await listener.next(Paired)
        await listener.next(Closed)
        await world.engine.open("default", 2, listener.creds, listener)
        assert (await listener.next(Closed)).code == 401
        reads, writes = listener.reads, listener.writes
        await asyncio.sleep(8)
        assert (listener.reads, listener.writes) == (reads, writes)


async def test_a_link_costs_few_round_trips(simulator: Simulator) -> None:
    async with baileys_world(simulator) as world:
        listener = await linked(world.engine, simulator)
        await simulator.wait_for("digest")
        await asyncio.sleep(0.3)  # what Baileys still writes after it reported the login
        assert sum(field.startswith("pre-key-") for field in listener.auth) == 812
        assert 2 <= listener.reads + listener.writes <= 12
