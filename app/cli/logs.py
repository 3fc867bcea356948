"""`relink logs`: the timeline of a session, explained."""

import json
import sys

from app.cli.client import Client, Json, session_path
from app.cli.errors import Exit
from app.cli.words import entry_line


def show(service: Client, session: str, *, lines: int, follow: bool, as_json: bool) -> Exit:
    """The newest `lines` entries, and with `follow` each further one, until the session is deleted. Raises CliError."""
    entries = service.get(session_path(session, "timeline"), limit=lines)["entries"]
    for entry in entries:
        _show(entry, as_json, newest=entry is entries[-1])
    if not follow:
        return Exit.OK
    last = entries[-1]["seq"] if entries else 0
    for event, data in service.events(session_path(session, "events"), after=last):
        if event == "timeline-entry":
            _show(data, as_json, newest=True)
        elif event == "session-deleted":
            print(f"Session {session} was deleted.", file=sys.stderr)
            break
    return Exit.OK


def _show(entry: Json, as_json: bool, *, newest: bool) -> None:
    print(json.dumps(entry, ensure_ascii=False) if as_json else entry_line(entry, newest=newest), flush=True)
