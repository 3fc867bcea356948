"""Plain text for terminals and pipes: tables, times, JSON."""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any


def table(rows: Sequence[Sequence[str]], *, head: Sequence[str]) -> str:
    """Columns wide enough for their contents; the last one is cut at the terminal's edge, where there is one."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    )
    if not sys.stdout.isatty():
        return "\n".join(lines)
    edge = shutil.get_terminal_size().columns
    return "\n".join(line if len(line) <= edge else line[: edge - 1] + "…" for line in lines)


def show_json(content: Any) -> None:
    """JSON for programs, indented for people."""
    print(json.dumps(content, indent=2, ensure_ascii=False))


def parse_time(text: str) -> datetime:
    """An RFC 3339 time as the service writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def local_time(text: str) -> str:
    """`2026-03-01 13:00:00`, in the time zone of this machine."""
    return parse_time(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(text: str | None, now: datetime | None = None) -> str:
    """`3 s`, `12 min`, `5 h`, `9 d`: how long ago a time is; "" for none."""
    if text is None:
        return ""
    seconds = max(0, int(((now or datetime.now(UTC)) - parse_time(text)).total_seconds()))
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def seconds_until(text: str, now: datetime | None = None) -> float:
    """Seconds from now to a time; negative when it is past."""
    return (parse_time(text) - (now or datetime.now(UTC))).total_seconds()


@contextmanager
def full_screen() -> Iterator[None]:
    """The terminal's other screen, for something that is drawn again and again; the first comes back afterwards."""
    sys.stdout.write("\x1b[?1049h\x1b[?25l")
    try:
        yield
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
