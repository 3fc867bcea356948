"""The Lua scripts in `lua/`, as texts ready to run: each with the lists of `app.model` and `lib.lua` in front."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

from app.model import CLEARED, PER_LINK_FIELDS, PER_STATUS_FIELDS, RUNNING, SOCKET, Event, Intent, Record, Status

_ALONE = frozenset({"read", "beat"})
"""Scripts that need nothing of `lib.lua`."""

INTEGERS = frozenset(field.name for field in fields(Record) if "int" in str(field.type))
"""Record fields that are whole numbers; the others are texts."""

_FIXED = ("id", "status", "epoch", "seq", "reason", "code", "created_at", "updated_at", "cleared")
"""Record fields that a change cannot set by name: the scripts see to them."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script's whole text, and the SHA-1 of it by which Redis knows it."""

    name: str
    text: str
    sha: str


@cache
def load(name: str) -> Script:
    """The script of `lua/NAME.lua`."""
    parts = [_source(name)] if name in _ALONE else [_lists(), _source("lib"), _source(name)]
    text = "\n".join(parts)
    # S324: not for security; it is the name that Redis gives a script.
    return Script(name, text, hashlib.sha1(text.encode()).hexdigest())  # noqa: S324


@cache
def _source(name: str) -> str:
    return (resources.files("app.store") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


@cache
def _lists() -> str:
    sets: dict[str, Iterable[str]] = {
        "STATUS": Status,
        "EVENT": Event,
        "INTENT": Intent,
        "SOCKET": SOCKET,
        "RUNNING": RUNNING,
        "WAITING": RUNNING - {Status.CONNECTED},
        "CLEARED": CLEARED,
        "FIELDS": [field.name for field in fields(Record)],
        "NUMBERS": INTEGERS,
        "FIXED": _FIXED,
    }
    lines = [f"local {name} = {{ {', '.join(f'{item} = true' for item in sorted(of))} }}" for name, of in sets.items()]
    for name, items in {"PER_STATUS": PER_STATUS_FIELDS, "PER_LINK": PER_LINK_FIELDS}.items():
        lines.append(f"local {name} = {{ {', '.join(repr(item) for item in items)} }}")
    return "\n".join(lines)
