"""The shape of the command line: help, lazy imports, exit statuses, words."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from app import __version__
from app.cli.errors import CliError, Exit
from app.cli.output import ago, parse_time, seconds_until, table
from app.cli.phone import parse_rule
from app.cli.words import EVENTS, entry_line, record_lines
from app.model import Event
from tests.support.commands import ROOT, relink

NOWHERE = "http://127.0.0.1:1"
GROUPS: dict[tuple[str, ...], list[str]] = {
    (): [
        *("serve", "demo", "simulator", "check", "settings", "health", "version"),
        *("sessions", "replicas", "status", "start", "qr", "stop", "logout", "reset", "delete", "logs"),
        *("phone", "auth"),
    ],
    ("phone",): [
        *("scan", "logout", "list", "add", "delete", "counters", "reset"),
        *("ban", "unban", "replace", "cut", "silence", "resume", "close"),
    ],
    ("auth",): ["list", "delete"],
}


@pytest.mark.parametrize("group", GROUPS)
def test_every_command_is_listed(group: tuple[str, ...]) -> None:
    said = relink(*group, "--help")
    assert said.status == Exit.OK
    listed = re.findall(r"^  ([a-z]+) +[A-Z]", said.out.partition("Commands:")[2], re.MULTILINE)
    assert set(listed) == set(GROUPS[group])


@pytest.mark.parametrize(
    "command",
    [(*group, name) for group, names in GROUPS.items() for name in names if (*group, name) not in GROUPS],
)
def test_every_command_has_examples_that_call_it(command: tuple[str, ...]) -> None:
    said = relink(*command, "--help")
    assert said.status == Exit.OK
    examples = said.out.partition("Example")[2].partition("Options:")[0]
    assert f"relink {' '.join(command)}" in examples


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from app.cli.root import run; run(['--help'])\n"
        "heavy = {'fastapi', 'httpx', 'redis', 'pydantic', 'uvicorn', 'structlog', 'qrcode'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_version() -> None:
    assert relink("version").out == f"relink {__version__}\n"
    assert relink("version", "--json").json == {"version": __version__}


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("status", "--nonsense"), ("phone", "close", "soon"), ("delete",)]
)
def test_wrong_use_is_status_2(arguments: tuple[str, ...]) -> None:
    said = relink(*arguments)
    assert said.status == Exit.USAGE
    assert "Usage: relink" in said.err


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("sessions",), ("qr",), ("logs", "-f"), ("check",), ("health",), ("phone", "scan"), ("delete", "a")],
)
def test_nothing_there_is_status_3_with_the_next_step(arguments: tuple[str, ...]) -> None:
    said = relink(*arguments, "--url", NOWHERE)
    assert said.status == Exit.UNREACHABLE
    assert NOWHERE in said.err
    assert said.err.startswith("relink: ")
    assert "make run" in said.err or arguments == ("health",)


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.com", "http://"])
def test_what_is_no_url_is_said(url: str) -> None:
    for command in ("status", "health"):
        said = relink(command, "--url", url)
        assert said.status in (Exit.USAGE, Exit.UNREACHABLE)
        assert "Traceback" not in said.err


def test_settings_of_the_service_do_not_break_its_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELINK_URL", raising=False)
    monkeypatch.setenv("HOST", "0.0.0.0")  # refused by the service, since there is no API key
    monkeypatch.setenv("PORT", "1")
    assert "Nothing listens at http://127.0.0.1:1." in relink("status").err


def test_settings_show_their_source_and_hide_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("API_KEY=correct-horse-battery-staple\nPORT=4000\n")
    monkeypatch.setenv("PORT", "4001")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@example.com:6379")
    found = relink("settings", "--json").json
    assert found["PORT"]["value"] == "4001"
    assert found["PORT"]["source"] == "environment"
    assert found["API_KEY"] == {**found["API_KEY"], "value": "[redacted]", "source": ".env"}
    assert found["REDIS_URL"]["value"] == "redis://[redacted]@example.com:6379"
    assert found["HOST"]["source"] == "default"
    text = relink("settings").out
    assert "hunter2" not in text
    assert "correct-horse" not in text


def test_settings_that_cannot_be_are_shown_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QR_WAIT", "soon")
    said = relink("settings")
    assert said.status == Exit.USAGE
    assert re.search(r"^QR_WAIT +soon +environment", said.out, re.MULTILINE)
    assert "QR_WAIT: Input should be a valid number" in said.err


def test_every_event_has_words() -> None:
    assert set(EVENTS) == set(Event)


ENTRY = {
    "seq": 7,
    "at": "2026-03-01T12:00:00.250Z",
    "event": "fail",
    "from": "linking",
    "to": "failed",
    "reason": "replaced",
    "detail": "Another program logged in.",
    "code": 440,
    "note": None,
}


def test_an_entry_says_what_why_and_what_to_do() -> None:
    line = entry_line(ENTRY, newest=True)
    assert "linking → failed" in line
    assert "Gave up. Another program logged in. [close code 440]" in line
    assert line.endswith("→ Stop the other program that uses this link, then start the session.")
    assert "→ Stop" not in entry_line(ENTRY, newest=False)


def test_an_entry_of_a_newer_service_is_still_shown() -> None:
    newer = {**ENTRY, "event": "teleport", "reason": "unheard_of", "detail": None, "from": None, "code": None}
    line = entry_line(newer, newest=True)
    assert "teleport Reason: unheard_of." in line


def test_a_record_shows_what_it_has_and_nothing_else() -> None:
    record = {
        "id": "shop",
        "status": "qr",
        "detail": "A QR code is on offer.",
        "next_action": "scan_qr",
        "reason": None,
        "attempt": 0,
        "qr_expires_at": "2026-03-01T12:00:00.250Z",
    }
    text = record_lines(record)
    assert "Scan the QR code" in text
    assert "qr_expires" in text
    assert "reason" not in text
    assert "attempt" not in text


def test_tables_are_as_wide_as_their_contents() -> None:
    assert table([("a", "longer"), ("much longer", "b")], head=("X", "Y")).splitlines() == [
        "X            Y",
        "a            longer",
        "much longer  b",
    ]
    assert table([], head=("X", "Y")) == "X  Y"


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-03-01T11:59:57.000Z", "3 s"),
        ("2026-03-01T11:48:00Z", "12 min"),
        ("2026-03-01T07:00:00Z", "5 h"),
        ("2026-02-20T12:00:00Z", "9 d"),
        ("2026-03-01T12:00:05Z", "0 s"),
        (None, ""),
    ],
)
def test_ages(at: str | None, said: str) -> None:
    now = parse_time("2026-03-01T12:00:00.000Z")
    assert ago(at, now) == said


def test_time_left() -> None:
    now = parse_time("2026-03-01T12:00:00.000Z")
    assert seconds_until("2026-03-01T12:00:20.500Z", now) == 20.5
    assert seconds_until("2026-03-01T11:59:59Z", now) == -1


def test_rules() -> None:
    assert parse_rule("login:logout") == {"on": "login", "do": "logout", "after_ms": 0}
    assert parse_rule("paired:cut:200") == {"on": "paired", "do": "cut", "after_ms": 200}
    for wrong in ("login", "login:logout:soon", "a:b:1:2"):
        with pytest.raises(CliError, match="MOMENT:VERB"):
            parse_rule(wrong)
