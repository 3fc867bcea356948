"""`relink qr`: the code in the terminal, or in a file, fresh until the phone has scanned it."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from app.cli.client import Client, Json, session_path
from app.cli.errors import CliError, Exit
from app.cli.output import full_screen, local_time, seconds_until
from app.qr import draw

_LOOK_S = 0.5
"""How often the session is looked at while a code is shown."""

_SETTLED = ("connected", "failed", "logged_out", "idle", "stopped")
"""Statuses that end the showing: the link is made, or will not be."""

_CLEAR = "\x1b[H\x1b[2J"


def show_once(service: Client, session: str, png: Path | None) -> Exit:
    """The code on offer, once: as a PNG file, else on standard output. Raises CliError."""
    code = generate(service, session)
    if png is None:
        sys.stdout.write(draw(code["text"]).terminal())
    else:
        _write(png, code)
    return Exit.OK


def show_until_linked(service: Client, session: str, png: Path | None) -> Exit:
    """Every code as it comes, until the session is linked (OK) or gives up (FAILED). Raises CliError."""
    if png is not None:
        record = follow(service, session, lambda code: _write(png, code), lambda code, record: None)
    else:
        with full_screen():
            record = follow(service, session, lambda code: None, _draw)
    linked = record["status"] == "connected"
    if linked:
        print(f"Session {record['id']} is linked to {record['jid']}.")
    else:
        print(f"Session {record['id']} is {record['status']}: {record['detail']}", file=sys.stderr)
    return Exit.OK if linked else Exit.FAILED


def follow(
    service: Client,
    session: str,
    on_code: Callable[[Json], None],
    on_look: Callable[[Json | None, Json], None],
    timeout: float | None = None,
) -> Json:
    """The record once the session is linked or has given up. Raises CliError, also when `timeout` seconds have passed.

    `on_code` is called with each new code, `on_look` with (code on offer, record) some times a second.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    code: Json | None = generate(service, session)
    assert code is not None
    on_code(code)
    while True:
        record = service.get(session_path(session))
        if record["status"] in _SETTLED:
            return record
        if record["status"] != "qr":
            code = None
        elif code is None or code["qr_id"] != record["qr_id"]:
            code = _current(service, session)
            if code is not None:
                on_code(code)
        on_look(code, record)
        if deadline is not None and time.monotonic() > deadline:
            raise CliError(f"Nobody scanned the code within {timeout:.0f} s.")
        time.sleep(_LOOK_S)  # what is shown counts down anyway


def generate(service: Client, session: str) -> Json:
    """A code, starting the session if need be. Raises CliError."""
    return service.post(session_path(session, "qr"))


def _current(service: Client, session: str) -> Json | None:
    """The code on offer; None when it has just been scanned or replaced."""
    try:
        return service.get(session_path(session, "qr"))
    except CliError as error:
        if error.code == "no_qr_code":
            return None
        raise


def _draw(code: Json | None, record: Json) -> None:
    if code is None:
        sys.stdout.write(f"{_CLEAR}{record['detail']}\n")
    else:
        left = max(0.0, seconds_until(code["expires_at"]))
        sys.stdout.write(
            f"{_CLEAR}{draw(code['text']).terminal()}"
            f"  Session {record['id']}: on the phone, WhatsApp > Linked devices > Link a device.\n"
            f"  Code {code['attempt']} of {code['limit']}, {left:.0f} s left. Ctrl-C stops showing it.\n"
        )
    sys.stdout.flush()


def _write(png: Path, code: Json) -> None:
    """Replace the file in one step: who reads it never sees half a picture. Only its owner may read it."""
    fresh = png.with_name(f".{png.name}.new")
    try:
        with open(fresh, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(draw(code["text"]).png())
        fresh.replace(png)
    except OSError as error:
        raise CliError(f"{png} cannot be written: {error.strerror}.", status=Exit.USAGE) from error
    print(
        f"{png}: code {code['attempt']} of {code['limit']}, valid until {local_time(code['expires_at'])}.", flush=True
    )
