"""The commands against a running demo: what a newcomer does in the first ten minutes."""

import json
import threading
import time
from pathlib import Path

import httpx
import pytest

from app.cli.errors import Exit
from tests.integration.api.test_qr import png_pixels, read_code
from tests.integration.cli.conftest import Demo
from tests.support.commands import Ran, child, relink

pytestmark = pytest.mark.bridge

WAIT_S = 20.0


def until(session: str, status: str) -> dict[str, object]:
    """The record once it has that status."""
    deadline = time.monotonic() + WAIT_S
    while True:
        record: dict[str, object] = relink("status", session, "--json").json
        if record["status"] == status:
            return record
        assert time.monotonic() < deadline, record
        time.sleep(0.05)  # the command line has nothing to wait with


def ok(*arguments: str) -> Ran:
    ran = relink(*arguments)
    assert ran.status == Exit.OK, ran
    return ran


def test_check_walks_the_whole_story(demo: Demo) -> None:
    ran = ok("check", "--json")
    assert ran.json["ok"] is True
    assert [step["name"] for step in ran.json["steps"]] == [
        "service is ready",
        "start",
        "QR code",
        "scan",
        "connected",
        "logout on the phone",
        "cleared",
        "new QR code",
        "force-reset",
        "QR code after reset",
    ]
    assert all(step["ok"] for step in ran.json["steps"])
    assert relink("status", "relink-check").status == Exit.REFUSED, "it cleans up"
    phones = ok("phone", "list", "--json").json["phones"]
    assert "relink check" not in [phone["name"] for phone in phones]


def test_check_prints_each_step_with_its_time(demo: Demo) -> None:
    ran = ok("check", "--session", "printed")
    assert ran.out.count("ok  ") == 10
    assert f"All 10 steps passed at {demo.url}." in ran.out


def test_check_never_touches_a_session_that_exists(demo: Demo) -> None:
    ok("start", "precious")
    ran = relink("check", "--session", "precious")
    assert ran.status == Exit.USAGE
    assert "exists already" in ran.err
    ok("status", "precious")
    ok("delete", "precious")


def test_check_says_which_step_failed(demo: Demo) -> None:
    ok("phone", "scan", "--session", "busy")  # so that there is a phone with a device, which stays as it is
    ran = relink("check", "--by-hand", "--wait", "1", "--json")
    assert ran.status == Exit.FAILED
    assert ran.json["ok"] is False
    assert ran.json["steps"][-1]["name"] == "scan"
    assert "Nobody scanned" in ran.json["steps"][-1]["result"]
    assert "█" in ran.err, "the code is shown to whoever is to scan it"
    assert relink("status", "relink-check").status == Exit.REFUSED
    ok("phone", "logout")
    ok("delete", "busy")


def test_link_log_out_and_reset_by_commands(demo: Demo) -> None:
    assert "is starting" in ok("start", "shop").out
    assert ok("phone", "scan", "--session", "shop").out.startswith("Linked as ")
    record = until("shop", "connected")
    listing = ok("sessions", "--prefix", "sho").out
    assert "shop" in listing
    assert str(record["jid"]) in listing
    assert str(record["jid"]) in ok("phone", "list").out
    assert str(record["jid"]) in ok("status", "shop").out

    assert "link is kept" in ok("stop", "shop").out
    ok("start", "shop")
    until("shop", "connected")

    ok("phone", "logout")
    until("shop", "logged_out")
    said = ok("logs", "shop").out.splitlines()
    assert "The phone scanned the code." in "".join(said)
    assert "The phone removed this device" in said[-1]
    assert "[close code 401]" in said[-1]
    assert said[-1].endswith("→ Start the session and scan the new QR code.")
    assert sum("→ Start the session" in line for line in said) == 1, "only the newest entry says what to do"
    entries = [json.loads(line) for line in ok("logs", "shop", "--json", "-n", "1000").out.splitlines()]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))

    assert "was reset" in ok("reset", "shop").out
    assert "was deleted" in ok("delete", "shop").out
    assert relink("status", "shop").status == Exit.REFUSED


def test_api_logout_unlinks(demo: Demo) -> None:
    ok("phone", "scan", "--session", "leaver")
    until("leaver", "connected")
    answer = ok("logout", "leaver", "--json").json
    assert answer["unlinked"] is True
    ok("delete", "leaver")


def test_faults_on_command(demo: Demo) -> None:
    number = ok("phone", "add", "15550009001", "--name", "faulty").out.strip()
    ok("phone", "scan", "--session", "faulty", "--phone", number)
    record = until("faulty", "connected")
    assert ok("phone", "cut", "--phone", number).out.strip() == record["jid"]
    deadline = time.monotonic() + WAIT_S
    while until("faulty", "connected")["connected_at"] == record["connected_at"]:
        assert time.monotonic() < deadline, "it never reconnected"
    ok("phone", "replace", "--phone", number)
    assert until("faulty", "failed")["reason"] == "replaced"
    assert "Stop the other program" in ok("logs", "faulty", "-n", "1").out
    ok("phone", "delete", number)
    ok("delete", "faulty")


def test_a_rule_hits_the_moment(demo: Demo) -> None:
    ok("phone", "scan", "--session", "ruled", "--then", "login:logout")
    assert until("ruled", "logged_out")["reason"] in ("phone_logout", "login_refused")
    ok("delete", "ruled")


def test_one_code_as_text_and_as_a_file(demo: Demo, tmp_path: Path) -> None:
    assert "█" in ok("qr", "painted", "--once").out
    file = tmp_path / "code.png"
    assert "code 1 of" in ok("qr", "painted", "--once", "--png", str(file)).out
    assert file.stat().st_mode & 0o077 == 0, "a QR code is a secret"
    text = read_code(png_pixels(file.read_bytes()))
    assert ok("phone", "scan", text).out.startswith("Linked as ")
    until("painted", "connected")
    refused = relink("qr", "painted", "--once")
    assert refused.status == Exit.REFUSED
    assert "needs no QR code" in refused.err
    ok("reset", "painted")
    ok("delete", "painted")


def test_a_code_is_shown_until_it_is_scanned(demo: Demo, tmp_path: Path) -> None:
    file = tmp_path / "code.png"
    ended: list[Ran] = []
    shower = threading.Thread(target=lambda: ended.append(relink("qr", "shown", "--png", str(file))))
    shower.start()
    deadline = time.monotonic() + WAIT_S
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # another thread writes it
    text = read_code(png_pixels(file.read_bytes()))
    scan = httpx.post(f"{demo.simulator_url}/phones/default/scan", json={"qr": text})
    assert scan.status_code == 200, scan.text
    shower.join(WAIT_S)
    assert ended[0].status == Exit.OK
    assert "Session shown is linked to" in ended[0].out
    ok("delete", "shown")


def test_logs_follow_until_the_session_is_deleted(demo: Demo, tmp_path: Path) -> None:
    ok("start", "followed")
    with child("logs", "followed", "-f", "--json", cwd=tmp_path, RELINK_URL=demo.url) as follower:
        out = follower.process.stdout
        assert out is not None
        assert json.loads(out.readline())["seq"] == 1
        ok("reset", "followed")
        seen: list[dict[str, object]] = []
        while not seen or seen[-1]["event"] != "reset":
            seen.append(json.loads(out.readline()))
        ok("delete", "followed")
        assert out.read() == ""
        assert follower.process.wait(WAIT_S) == Exit.OK
    assert [entry["seq"] for entry in seen] == list(range(2, 2 + len(seen)))


def test_what_does_not_exist_is_said_with_the_next_step(demo: Demo) -> None:
    unknown = relink("status", "nobody")
    assert unknown.status == Exit.REFUSED
    assert "There is no session" in unknown.err
    bad = relink("status", "../etc")
    assert bad.status == Exit.USAGE
    assert "cannot be a session id" in bad.err
    phone = relink("phone", "logout", "--phone", "999999")
    assert phone.status == Exit.REFUSED
    assert "There is no phone" in phone.err


def test_something_else_at_the_address_is_recognized(demo: Demo) -> None:
    ran = relink("status", "--url", demo.simulator_url)
    assert ran.status in (Exit.UNREACHABLE, Exit.REFUSED)
    assert ran.err.startswith("relink: ")


def test_the_log_of_all_this_holds_no_secret(demo: Demo) -> None:
    codes = [relink("qr", "secretive", "--once").out]
    assert "█" in codes[0]
    ok("phone", "scan", "--session", "secretive")
    until("secretive", "connected")
    log = demo.child.log
    assert '"event": "request"' in log
    for trace in ("linked_devices#", "noiseKey", "signedIdentityKey", "BufferJSON", "pre-key-1", '"private"'):
        assert trace not in log
    ok("reset", "secretive")
    ok("delete", "secretive")


def test_the_page_and_the_next_steps_are_told(demo: Demo) -> None:
    log = demo.child.log
    assert f"page       {demo.url}/" in log
    assert f"phone scan --url {demo.url} --simulator {demo.simulator_url}" in log
