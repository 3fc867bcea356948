"""docs/architecture.md tells what the code does: its tables are made from the code, or compared with it."""

import re
from pathlib import Path

import pytest

from app.model import Event, Status
from app.sessions import machine
from app.sessions.policy import QR_REFS_ENDED, Backoff, Clear, Decision, Fail, Lost, Reopen, Retry, decide
from app.sessions.reasons import Reason
from app.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")

FOR_EVER = 1_000

CLOSES: list[tuple[str, int | None, str]] = [
    ("401", 401, ""),
    ("401 at login", 401, "Connection Failure"),
    ("515", 515, ""),
    (f'408 "{QR_REFS_ENDED}"', 408, QR_REFS_ENDED),
    ("408", 408, ""),
    ("428", 428, ""),
    ("503", 503, ""),
    ("none (network)", None, ""),
    ("440", 440, ""),
    ("403", 403, ""),
    ("405", 405, ""),
    ("411", 411, ""),
    ("500", 500, ""),
    ("any other", 499, ""),
]


def block(name: str) -> str:
    """What stands between the comment that begins with `name` and the next `<!-- end -->`."""
    found = re.search(rf"<!-- {name}:[^\n]*-->\n(.*?)\n<!-- end -->", TEXT, re.DOTALL)
    assert found, f"{PAGE.name} has no block {name!r}"
    return found[1].strip()


def transitions() -> str:
    lines = ["| in | `event` → status |", "|---|---|"]
    asking = (Event.STOP_REQUESTED, Event.LOGOUT_REQUESTED, Event.RESET)
    for status in Status:
        events = [event for event in Event if machine.allows(status, event) and event not in asking]
        ways = [f"`{event}` → {machine.after(status, event)}" for event in events]
        lines.append(f"| `{status}` | {', '.join(ways)} |")
    lines.append("| any | `reset` → idle; `stop_requested`, `logout_requested` → as it is |")
    return "\n".join(lines)


def policy() -> str:
    lines = ["| close code | with a link | without |", "|---|---|---|"]
    for name, code, message in CLOSES:
        lines.append(f"| {name} | {told(code, message, linked=True)} | {told(code, message, linked=False)} |")
    return "\n".join(lines)


def told(code: int | None, message: str, *, linked: bool) -> str:
    """What becomes of such closes, one after the other."""
    first = _decide(code, message, linked=linked, attempt=0, previous=None)
    if not isinstance(first, Retry):
        return _told(first)
    attempt, decision = 0, first
    while isinstance(decision, Retry) and attempt < FOR_EVER:
        attempt += 1
        last = _decide(code, message, linked=linked, attempt=attempt, previous=first.reason)
        if not isinstance(last, Retry):
            return f"`{first.reason}`: {attempt} more tries, then {_told(last)}"
        decision = last
    return f"`{first.reason}`: tried again without end"


def _decide(code: int | None, message: str, *, linked: bool, attempt: int, previous: str | None) -> Decision:
    lost = Lost(code=code, message=message, linked=linked, attempt=attempt, previous=previous)
    return decide(lost, Backoff(base_ms=1, cap_ms=1, chance=lambda: 0.5))


def _told(decision: Decision) -> str:
    match decision:
        case Clear(reason):
            return f"`logged_out`, `{reason}`; cleared, never started again by itself"
        case Reopen():
            return "opened again at once, not counted"
        case Fail(reason, clear):
            return f"`failed`, `{reason}`" + ("; cleared" if clear else "; credentials kept")
        case Retry():
            raise AssertionError("a retry is told by what follows it")


@pytest.mark.parametrize(("name", "made"), [("transitions", transitions()), ("policy", policy())])
def test_tables_are_those_of_the_code(name: str, made: str) -> None:
    assert block(name) == made, f"put this into {PAGE.name}:\n{made}"


def test_every_status_is_told_of() -> None:
    told_of = re.findall(r"^\| `(\w+)` \| [^|]+ \| (?:yes|no) \|", TEXT, re.MULTILINE)
    assert told_of == [status.value for status in Status]


def test_reasons_and_settings_in_it_exist() -> None:
    named = {name.lower() for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", TEXT)}
    assert named <= set(Settings.model_fields)
    deadlines = TEXT[TEXT.index("| status | until | then |") : TEXT.index("`connected` has no deadline")]
    words = set(re.findall(r"`([a-z_]+)`", deadlines))
    assert words <= {*Status, *Reason, "retry_at"}


def test_files_in_it_exist() -> None:
    root = PAGE.parents[1]
    assert all((root / path).exists() for path in re.findall(r"`((?:app|tests)/[\w/.]+)`", TEXT))
    assert all((PAGE.parent / path).exists() for path in re.findall(r"\]\((\w+\.md)\)", TEXT))
