"""`relink simulator` and the commands of its phones, without a service."""

import json
import signal
from pathlib import Path

import pytest

from app.cli.errors import Exit
from tests.support.commands import child, relink

pytestmark = pytest.mark.bridge


def test_it_prints_the_settings_that_point_a_service_at_it(tmp_path: Path) -> None:
    with child("simulator", "--port", "0", "--seed", "fixed", "--json", cwd=tmp_path) as simulator:
        assert simulator.process.stdout is not None
        said = json.loads(simulator.process.stdout.readline())
        assert said["WHATSAPP_URL"] == f"ws://127.0.0.1:{said['port']}/ws/chat"
        assert len(said["WHATSAPP_ROOT_KEY"]) == 64
        url = said["control_url"]
        listed = relink("phone", "list", "--simulator", url, "--json").json["phones"]
        assert [phone["devices"] for phone in listed] == [[]]
        assert relink("phone", "logout", "--simulator", url).out == "The phone has no linked devices.\n"
        assert "logins" in relink("phone", "counters", "--simulator", url).json["totals"]
        assert relink("phone", "add", "+49 151 1", "--simulator", url).out.strip() == "491511"
        assert relink("phone", "ban", "--phone", "491511", "--simulator", url).status == Exit.OK
        assert "banned" in relink("phone", "list", "--simulator", url).out
        refused = relink("phone", "scan", "no QR code", "--simulator", url)
        assert refused.status == Exit.REFUSED
        assert relink("phone", "reset", "--simulator", url).status == Exit.OK
        assert len(relink("phone", "list", "--simulator", url, "--json").json["phones"]) == 1
        assert simulator.stop(signal.SIGINT) == Exit.OK


def test_the_seed_makes_the_key(tmp_path: Path) -> None:
    found = set()
    for _ in range(2):
        with child("simulator", "--port", "0", "--seed", "fixed", "--json", cwd=tmp_path) as simulator:
            assert simulator.process.stdout is not None
            found.add(json.loads(simulator.process.stdout.readline())["WHATSAPP_ROOT_KEY"])
    assert len(found) == 1


def test_without_a_simulator_it_says_how_to_start_one() -> None:
    said = relink("phone", "list", "--simulator", "http://127.0.0.1:1")
    assert said.status == Exit.UNREACHABLE
    assert "relink simulator" in said.err
