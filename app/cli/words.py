"""Timeline and records in words, for `relink logs`, `relink status` and `relink sessions`."""

from app.cli.client import Json
from app.cli.output import ago, local_time, table
from app.model import Event
from app.sessions.reasons import ACTIONS, REASONS, Reason

EVENTS: dict[Event, str] = {
    Event.CREATED: "Created.",
    Event.START: "Started, without a link.",
    Event.RESUME: "Started, with its link.",
    Event.QR: "A QR code is on offer.",
    Event.PAIRED: "The phone scanned the code.",
    Event.OPEN: "Logged in to WhatsApp.",
    Event.RESTART: "WhatsApp asked for a new connection.",
    Event.RETRY: "The connection was lost before it was linked; another try follows.",
    Event.RECONNECT: "The connection was lost; another try follows.",
    Event.CLAIM: "Taken over by another replica.",
    Event.CLAIM_UNLINKED: "Taken over by another replica.",
    Event.RELEASE: "Let go by its replica.",
    Event.HELD: "Held back: too many sessions fail alike, and one of them tries for all.",
    Event.STOP: "Stopped; the link is kept.",
    Event.LOGOUT: "Logged out; everything was cleared.",
    Event.FAIL: "Gave up.",
    Event.RESET: "Reset; everything was cleared.",
    Event.STOP_REQUESTED: "A stop was asked for.",
    Event.LOGOUT_REQUESTED: "A logout was asked for.",
}


_SAID_BY_REASON = frozenset({Event.LOGOUT, Event.RESET, Event.STOP})
"""Events whose reason says the same and more."""


def entry_line(entry: Json, *, newest: bool) -> str:
    """One timeline entry as one line: when, number, status, what happened and why; for the newest also what to do."""
    try:
        event = Event(entry["event"])
    except ValueError:  # a service newer than this command
        event = None
    parts = [] if event in _SAID_BY_REASON and entry["detail"] else [EVENTS[event] if event else entry["event"]]
    if entry["detail"] or entry["reason"]:
        parts.append(entry["detail"] or f"Reason: {entry['reason']}.")
    if entry["note"]:
        parts.append(f"({entry['note']})")
    if entry["code"] is not None:
        parts.append(f"[close code {entry['code']}]")
    action = _action(entry["reason"]) if newest else ""
    if action:
        parts.append(f"→ {action}")
    change = entry["to"] if entry["from"] in (None, entry["to"]) else f"{entry['from']} → {entry['to']}"
    return f"{local_time(entry['at'])}  #{entry['seq']:<4} {change:<26} {' '.join(parts)}"


def _action(reason: str | None) -> str:
    """The next step that a reason asks of people; "" where Relink goes on by itself."""
    try:
        action = REASONS[Reason(reason)].next_action if reason else "none"
    except ValueError:
        return ""
    return "" if action in ("none", "wait") else ACTIONS[action]


def record_lines(record: Json) -> str:
    """One session, every field that says something, and what to do next."""
    facts = [
        ("session", record["id"]),
        ("status", record["status"]),
        ("detail", record["detail"]),
        ("next", ACTIONS.get(record["next_action"], record["next_action"])),
    ]
    named = ("reason", "code", "intent", "attempt", "jid", "name", "platform", "owner", "epoch", "seq")
    facts += [(name, str(record[name])) for name in named if record.get(name) not in (None, 0, "")]
    times = ("retry_at", "deadline_at", "qr_expires_at", "connected_at", "created_at", "updated_at")
    facts += [(name.removesuffix("_at"), local_time(record[name])) for name in times if record.get(name)]
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in facts)


def replica_table(replicas: list[Json]) -> str:
    """Replicas, one a line; `*` marks the one that answered."""
    rows = [
        (
            replica["id"] + (" *" if replica["this"] else ""),
            f"{replica['sessions']} of {replica['max_sessions']}",
            ago(replica["started_at"]),
            ago(replica["beat_at"]),
            replica["version"],
            _replica_state(replica),
        )
        for replica in replicas
    ]
    return table(rows, head=("REPLICA", "SESSIONS", "UP", "HEARD", "VERSION", "STATE"))


def _replica_state(replica: Json) -> str:
    if replica["held_for"]:
        return f"holds {replica['held']} sessions back: {replica['held_for']}"
    return "takes sessions" if replica["accepting"] else "stops"


def record_table(records: list[Json]) -> str:
    """Many sessions, one a line."""
    rows = [
        (
            record["id"],
            record["status"],
            ago(record["updated_at"]),
            record["jid"] or "",
            record["detail"],
        )
        for record in records
    ]
    return table(rows, head=("SESSION", "STATUS", "SINCE", "ACCOUNT", "DETAIL"))
